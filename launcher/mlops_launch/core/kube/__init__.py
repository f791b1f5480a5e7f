"""What the API server says of pods and jobs, read without asking it."""

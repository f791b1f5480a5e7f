"""What the verbs do, by topic: read files, ask the core, act through the clients."""

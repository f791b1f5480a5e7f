"""What runs leave and show, wherever they run."""

"""What a package's files say about its models: their settings and presets, read without importing them."""

"""One verb's logic a module: reads files, asks the core, acts through the doors."""

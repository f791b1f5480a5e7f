"""Pure functions and values: no file, process or network access."""

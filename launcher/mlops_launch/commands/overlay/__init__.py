"""The verbs on an overlay: init, render, check, set."""

"""The verbs on a cluster: apply, watch, follow, wait, show, delete."""

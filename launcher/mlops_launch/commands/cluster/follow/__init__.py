"""One try of a job on a cluster, followed from its first pod to its last line."""

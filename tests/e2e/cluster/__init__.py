"""A real single-node Kubernetes cluster from packages, for the e2e tests; see README.md one folder up."""

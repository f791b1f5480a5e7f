"""The clients of the outside: other programs, the API server, this machine and its clock."""

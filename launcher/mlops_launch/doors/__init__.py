"""The two doors to the outside: processes and the API server."""

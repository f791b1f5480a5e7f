"""A log as bytes: put together again, read for its figures."""

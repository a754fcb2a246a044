"""The connection to the backend."""

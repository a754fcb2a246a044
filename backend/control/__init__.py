"""From what is seen where to the signal each engine wants; one file an engine. Pure."""

"""Readers of annotated videos, one file a format: what training and evaluation look at."""

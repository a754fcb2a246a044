"""Headless training: what is computed once for all clips, and what learns from it."""

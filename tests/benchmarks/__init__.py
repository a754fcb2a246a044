"""Measurements of the hot steps: `make bench`. Never asserted by a test."""

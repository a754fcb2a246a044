"""Blender data: reading and writing it, no decisions."""

"""Tests under Blender as a Python module."""

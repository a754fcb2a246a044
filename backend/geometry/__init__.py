"""Cameras, unprojection, motion and point splatting in pure torch. Conventions: ``README.md``."""

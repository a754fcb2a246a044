"""Pure tensor geometry: cameras, lifting, motion, splatting. Conventions: ``README.md``."""

"""From a photo to depth and instances."""

"""Control points, tracks, boxes and previews from instance masks and depth. Pure."""

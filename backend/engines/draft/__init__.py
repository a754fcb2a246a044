"""The draft engine: warped layers of the photo, within a second, without weights."""

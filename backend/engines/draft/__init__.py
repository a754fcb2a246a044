"""The draft: the photo's own pixels moved, within a second, without weights."""

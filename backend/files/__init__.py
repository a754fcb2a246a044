"""File formats: videos, .shot files, lifted scenes, EXIF data."""

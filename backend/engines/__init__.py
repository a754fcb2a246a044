"""Engines: each generates frames from a photo and its control signal. ``still`` is the tutorial."""

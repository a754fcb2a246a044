"""Frames composed of the photo's own pixels: plate, layers, warps. Pure torch, no weights."""

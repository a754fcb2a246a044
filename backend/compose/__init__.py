"""The draft: layers, matting, inpainting, warping and compositing. Pure torch, no weights."""

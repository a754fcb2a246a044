"""Depth estimation and instance segmentation of a photo.

Each network has one loader, for folders in the transformers format and for the authors' files::

    depth_anything.load(name, path, device, heads=None).disparity(pixels)
    segment_anything.load(name, path, device, decoder_heads=None)  # .encode(), then .segment()

The architecture of a ``.pth`` is read from its tensors; only the numbers of attention heads have to
be passed if they differ from the published ones. ``convert_depth_anything`` and
``convert_segment_anything`` load the authors' files (``load``) and map tensor names both ways
(``from_original``, ``to_original``); ``tiny`` makes small random networks of every kind.
"""

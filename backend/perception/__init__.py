"""From a photo to depth and instances.

The two networks have one way in each, for folders that transformers wrote and for the authors' own
files of any name::

    depth_anything.load(name, path, device, heads=None).disparity(pixels)
    segment_anything.load(name, path, device, decoder_heads=None)  # .encode(), then .segment()

A file's sizes are read from its tensors; the two numbers of heads stand in no tensor, and have to
be said where they are not those that were published. ``convert_depth_anything`` and
``convert_segment_anything`` hold the bare networks (``load``) and both directions of the names
(``from_original``, ``to_original``); ``tiny`` makes small ones of every kind.
"""

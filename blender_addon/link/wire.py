"""The one place of the extension that imports the protocol.

The release zip carries it as a sub-package, so an installed extension puts no name on ``sys.path``;
in a checkout it is the sibling package.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

if not TYPE_CHECKING and importlib.util.find_spec("..protocol", __package__) is not None:
    from ..protocol import (
        VERSION,
        Envelope,
        ProtocolError,
        ShotError,
        VersionError,
        arrays,
        codec,
        content,
        decode,
        encode,
        export,
        flat_scene,
        frames,
        messages,
        options,
        photo_formats,
        rates,
        rules,
        shape,
        splat,
        tracks,
    )
else:
    from protocol import (
        VERSION,
        Envelope,
        ProtocolError,
        ShotError,
        VersionError,
        arrays,
        codec,
        content,
        decode,
        encode,
        export,
        flat_scene,
        frames,
        messages,
        options,
        photo_formats,
        rates,
        rules,
        shape,
        splat,
        tracks,
    )

__all__ = [
    "VERSION",
    "Envelope",
    "ProtocolError",
    "ShotError",
    "VersionError",
    "arrays",
    "codec",
    "content",
    "decode",
    "encode",
    "export",
    "flat_scene",
    "frames",
    "messages",
    "options",
    "photo_formats",
    "rates",
    "rules",
    "shape",
    "splat",
    "tracks",
]

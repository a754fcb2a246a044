"""LeviTor: animate a photo in 3D and turn it into video.

Blender is only touched in :func:`register` and :func:`unregister`, so that the parts that need no
Blender can be imported anywhere.
"""


def register() -> None:
    """Add the extension's classes, properties, timer and handlers; no file, no network."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Take away everything that :func:`register` added, and end the connection."""
    from . import registration

    registration.unregister()

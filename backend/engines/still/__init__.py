"""The still engine, the tutorial for every other one: it shows the photo, and nothing moves.

An engine is three small files and a row of ``registry.py``:

1. ``spec.py``: what a client may know before anything runs. No torch: the server's loop reads it,
   and Blender draws its menu and the fields of its options from it.
2. ``signal.py``: what the engine is told. Functions of a ``Control``, pure, without weights; so a
   signal can be looked at, tested and trained on where the weights are not.
3. ``engine.py``: what holds weights and a device, and makes the frames.

The contract suite, ``tests/engines/test_contract.py``, runs over every row.
"""

"""The protocol's own version, apart from the product's.

A peer of another *major* cannot be understood and is refused; a newer *minor* only adds optional
fields and messages, which an older peer ignores. ``README.md`` beside this file keeps the history.
"""

VERSION: tuple[int, int] = (1, 4)

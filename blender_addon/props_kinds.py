"""Blender's kinds of properties, as the extension declares them: none of them can be keyed.

A shot has one setting from end to end, and a keying set that takes in whatever can be animated
would give a handle channels that no artist asked for.
"""

from functools import partial

from bpy import props

# Without options=set(), properties are animatable by default.
BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty, IntProperty, StringProperty = (
    partial(kind, options=set())
    for kind in (
        props.BoolProperty,
        props.EnumProperty,
        props.FloatProperty,
        props.FloatVectorProperty,
        props.IntProperty,
        props.StringProperty,
    )
)

"""The sidebar tab: draws what is there, computes nothing."""

from .lists import LEVITOR_UL_instances
from .panels import (
    LEVITOR_PT_advanced,
    LEVITOR_PT_connection,
    LEVITOR_PT_instances,
    LEVITOR_PT_lift_settings,
    LEVITOR_PT_photo,
    LEVITOR_PT_preview,
    LEVITOR_PT_render,
    LEVITOR_PT_takes,
)

PANELS = (
    LEVITOR_UL_instances,
    LEVITOR_PT_photo,
    LEVITOR_PT_lift_settings,
    LEVITOR_PT_instances,
    LEVITOR_PT_render,
    LEVITOR_PT_takes,
    LEVITOR_PT_advanced,
    LEVITOR_PT_preview,
    LEVITOR_PT_connection,
)

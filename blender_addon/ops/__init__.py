"""Operators, one verb a file: each gathers, calls and reports."""

from .cancel import LEVITOR_OT_cancel
from .choose_instance import LEVITOR_OT_choose_instance, LEVITOR_OT_clear_choice
from .choose_lift import LEVITOR_OT_choose_lift, LEVITOR_OT_make_lift_local
from .connect import LEVITOR_OT_connect, LEVITOR_OT_disconnect
from .cycle_mask import LEVITOR_OT_cycle_mask
from .dismiss import LEVITOR_OT_dismiss
from .export_control import LEVITOR_OT_export_control
from .key_handle import LEVITOR_OT_key_handle
from .lift import LEVITOR_OT_lift
from .make_instance import LEVITOR_OT_make_instance
from .match_colours import LEVITOR_OT_match_colours
from .pick import LEVITOR_OT_pick
from .place_take import LEVITOR_OT_place_take
from .preview_control import LEVITOR_OT_preview_control
from .remove_instance import LEVITOR_OT_remove_instance
from .render import LEVITOR_OT_render
from .reset import LEVITOR_OT_reset_camera, LEVITOR_OT_reset_handle, LEVITOR_OT_reset_options
from .save_shot import LEVITOR_OT_save_shot
from .set_end import LEVITOR_OT_set_end
from .set_fov import LEVITOR_OT_set_fov
from .set_scene import LEVITOR_OT_set_scene
from .take_numbers import LEVITOR_OT_take_numbers
from .use_photo_size import LEVITOR_OT_use_photo_size
from .watch_take import LEVITOR_OT_watch_take

OPERATORS = (
    LEVITOR_OT_connect,
    LEVITOR_OT_disconnect,
    LEVITOR_OT_lift,
    LEVITOR_OT_choose_lift,
    LEVITOR_OT_make_lift_local,
    LEVITOR_OT_set_fov,
    LEVITOR_OT_match_colours,
    LEVITOR_OT_set_scene,
    LEVITOR_OT_pick,
    LEVITOR_OT_cycle_mask,
    LEVITOR_OT_make_instance,
    LEVITOR_OT_remove_instance,
    LEVITOR_OT_key_handle,
    LEVITOR_OT_reset_handle,
    LEVITOR_OT_reset_camera,
    LEVITOR_OT_reset_options,
    LEVITOR_OT_choose_instance,
    LEVITOR_OT_clear_choice,
    LEVITOR_OT_set_end,
    LEVITOR_OT_use_photo_size,
    LEVITOR_OT_render,
    LEVITOR_OT_preview_control,
    LEVITOR_OT_cancel,
    LEVITOR_OT_dismiss,
    LEVITOR_OT_watch_take,
    LEVITOR_OT_place_take,
    LEVITOR_OT_take_numbers,
    LEVITOR_OT_save_shot,
    LEVITOR_OT_export_control,
)

"""Values and formulas of the extension: no Blender in here."""

"""Decodes image files to arrays: photos, depth maps and masks, from untrusted bytes."""

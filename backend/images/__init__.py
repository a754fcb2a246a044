"""Picture files -> arrays: photos, depth maps and masks, as strangers' bytes hold them."""

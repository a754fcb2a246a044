"""The models' weights: which there are, where they lie, what was fetched and how. No torch."""

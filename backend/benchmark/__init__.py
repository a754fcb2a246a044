"""What ``levitor bench`` runs: an engine's networks with random weights, timed part by part."""

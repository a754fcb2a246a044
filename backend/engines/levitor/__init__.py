"""LeviTor: Stable Video Diffusion told by a ControlNet where each instance's points go."""

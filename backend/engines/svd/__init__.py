"""What every engine on Stable Video Diffusion shares: networks, sampler, loading, codecs."""

"""Files: videos, shots, lifted scenes, what photos say of their lens."""

"""Measurements of the hot steps: `make bench`. Never asserted by a test."""

import backend as backend  # before torch: it says how OpenMP's threads wait

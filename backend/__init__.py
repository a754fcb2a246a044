"""The backend of LeviTor: perception, geometry, engines, and the job server around them."""

import os

# OpenMP's threads spin while they wait for each other. Beside a busy Blender, where they do not all
# have a core, a render then takes ten times as long (measured: 70 s against 8 s on two loaded
# cores); sleeping costs nothing on a quiet machine. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

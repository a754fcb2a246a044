"""The backend of LeviTor: perception, geometry, engines, and the job server around them."""

import atexit
import gc

from backend import threads

threads.set_waiting()
# The system takes a process's memory back at once. Python would look through all that torch has
# made for cycles first, three times over, which takes as long as half of torch's import.
atexit.register(gc.freeze)

"""The backend of LeviTor: perception, geometry, engines, and the job server around them."""

from backend import threads

threads.set_waiting()

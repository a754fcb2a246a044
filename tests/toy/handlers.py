"""What a worker of the toy's server runs: the product's own handlers, with one engine more."""

from backend.engines import registry
from backend.server.handlers import Session, run
from tests.toy.spec import SPEC

registry._ENGINES[SPEC.name] = (SPEC, "tests.toy.signal", "tests.toy.engine:ToyEngine")

__all__ = ["Session", "run"]

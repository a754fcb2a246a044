"""Addresses of a backend: whether one is valid, and whether it is this computer."""

from __future__ import annotations

import ipaddress
import re

_TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:/\s]+):(?P<port>\d{1,5})")


def problem(endpoint: str) -> str:
    """What is wrong with ``endpoint``, as a sentence; empty when it can be connected to."""
    match = _TCP.fullmatch(endpoint)
    if match is None or not 0 < int(match["port"]) < 65536:
        return (
            f"'{endpoint}' is not an address of a backend. "
            "Write it like tcp://127.0.0.1:5599, with a port from 1 to 65535."
        )
    return ""


def is_loopback(endpoint: str) -> bool:
    """Whether ``endpoint`` stays on this computer."""
    match = _TCP.fullmatch(endpoint)
    if match is None:
        return False
    host = match["host"].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

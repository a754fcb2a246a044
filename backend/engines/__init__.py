"""Engines: each turns a photo and a control signal into frames. A new one: ``draft`` shows how."""

"""Points on a ring in the plane."""

from .factors import upwards

__all__ = ["upwards"]

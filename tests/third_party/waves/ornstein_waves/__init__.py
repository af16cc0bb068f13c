"""Fine fields of the sea given coarse forecasts of them."""

from .factors import conserved, gauges

__all__ = ["conserved", "gauges"]

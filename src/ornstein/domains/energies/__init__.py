"""Energies: samples of exp(−E), and weights for them, when there are no data."""

from .data import System, calculator, check, system, systems, xtb
from .factors import boltzmann
from .network import NetworkConfig

__all__ = ["NetworkConfig", "System", "boltzmann", "calculator", "check", "system", "systems", "xtb"]

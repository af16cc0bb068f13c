"""What can be known or wanted: the energy itself, which samples are made exact for."""

from ...mcmc.targets import Boltzmann
from .data import System


def boltzmann(system: System) -> Boltzmann:
    """exp(−E) of a system: `sample(model & boltzmann(system), n, exact="mcmc")`."""
    return Boltzmann(system.energy, system.width)

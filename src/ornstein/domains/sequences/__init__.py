"""DNA, RNA and proteins: families of sequences, shipped or your own FASTA and A3M."""

from .factors import Motif, Pairing, fixed, fold, fraction, motif, structure
from .texts import boltzmann

__all__ = ["Motif", "Pairing", "boltzmann", "fixed", "fold", "fraction", "motif", "structure"]

"""DNA, RNA and proteins: families of sequences, shipped or your own FASTA and A3M."""

from .factors import Motif, Pairing, fixed, fold, fraction, motif, structure

__all__ = ["Motif", "Pairing", "fixed", "fold", "fraction", "motif", "structure"]

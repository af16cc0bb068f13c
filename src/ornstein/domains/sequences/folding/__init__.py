"""RNA inverse folding: sequences that fold into a structure."""

from .design import Design, Search, design, searching
from .prior import PairedBases
from .structures import folded, pairs_of

__all__ = ["Design", "PairedBases", "Search", "design", "folded", "pairs_of", "searching"]

"""Images of magnetic resonance from undersampled k-space, with what is not known of them.

of every domain     data, network, factors, metrics, task
volumes/            what is learned from; scans/: what is reconstructed, by format
coils/              maps, noise, compression, phase; trajectories/: masks; sense: the operator
asked/              flags, requests; opened, noise, held, prepared: from a slice of a scan to what a model is told
results/            places, volumes, store: NIfTI; held_out: χ²; pictures, drawn: figures
"""

from .asked.flags import MriRequest
from .asked.prepared import Slice, Volume, volume
from .asked.requests import on_grid
from .coils.espirit import espirit
from .coils.simulate import simulate, simulate_maps
from .factors import kspace
from .results.held_out import Agreement, Verdict, agreement
from .scans.base import Scan
from .scans.opened import open_scan
from .sense import Sense
from .trajectories import masks

__all__ = [
    "Agreement",
    "MriRequest",
    "Scan",
    "Sense",
    "Slice",
    "Verdict",
    "Volume",
    "agreement",
    "espirit",
    "kspace",
    "masks",
    "on_grid",
    "open_scan",
    "simulate",
    "simulate_maps",
    "volume",
]

"""K-space as files bring it: fastMRI, ISMRMRD, BART, NPZ; and images, undersampled afterwards.

`open_scan(path)` gives a `Scan`, which reads one slice at a time and checks it. H is the phase encoding and W the
readout; files have them in other orders, and outputs come back in those.

| file | arrays | their axes | besides |
|---|---|---|---|
| fastMRI `.h5` | `kspace` | slices, coils (or none), W, H | `mask` (H,), `ismrmrd_header`, `reconstruction_rss` |
| ISMRMRD `.h5`, `.mrd` | `dataset/data`, `dataset/xml` | acquisitions (coils, W) | noise, calibration, positions |
| BART `.cfl` + `.hdr` | the file | W, H, –, coils, maps, …, slices | `NAME_maps.cfl` or `NAME_sens.cfl` beside it |
| NumPy `.npz` | `kspace` | slices, coils, H, W | `mask`, `maps`, `truth`, `noise`, `sigma`, `voxel_size` or `affine` |
| NIfTI `.nii`, `.nii.gz` | an image | any, by its affine | retrospective, simulated coils: see `Retrospective` |

What was not measured is 0. Without a mask in the file, what was measured is found from that; with one, the two must
agree. `write_fastmri`, `write_ismrmrd`, `write_bart` and `write_npz` convert.

    scan = open_scan("file_brain_AXT2.h5")
    for k in range(len(scan)):
        measured = scan.slice(k)  # kspace (coils, H, W), mask (H, W)
"""

from .bart import write_bart
from .base import Measured, Scan
from .fastmri import write_fastmri
from .npz import write_npz
from .opened import open_scan
from .retrospective import Retrospective, undersampled
from .written import write_ismrmrd

__all__ = [
    "Measured",
    "Retrospective",
    "Scan",
    "open_scan",
    "undersampled",
    "write_bart",
    "write_fastmri",
    "write_ismrmrd",
    "write_npz",
]

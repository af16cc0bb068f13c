"""What the tour tells of scans: a slice of a test subject from a quarter of its k-space, and what is unknown of it."""

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ...calibration.ranks import Coverage
from ...denoisers.base import NeuralDenoiser
from ...events import Stream
from ...report import plots
from ...spaces import Euclidean
from ...tasks.drawing import draws
from ...tasks.engines import Independent
from ...tasks.figures import Chapter, Figure, Metric, Stop
from . import metrics
from .asked.flags import MriRequest
from .asked.prepared import Slice, Volume
from .examples import Example, example
from .factors import kspace
from .sense import Sense
from .words import CLINICAL, RETROSPECTIVE

SLICE = "s1-axial"
"""That is shown: of a subject that no model has learned from."""
QUICK, FULL = (6, 6), (32, 16)
"""Samples and steps."""
SOLVE = {False: (0.2, 3), True: (0.1, 4)}
"""Tolerance and iterations of the solves, by whether it is a full tour: few steps are no better for exact ones."""
TITLE = "A head from a quarter of its k-space"


def stops(model: NeuralDenoiser, full: bool) -> list[Stop]:
    """What is shown of a model beside its own samples: nothing of one whose slices are not square.

    Args:
        model: any of the domain, on the grid of whole slices.
        full: as many samples as a judgement needs.
    """
    h, w = _grid(model)
    if h != w or not 32 <= h <= 256:
        return []
    return [Stop(TITLE, partial(reconstructed, model, full), 41, 17)]


def _grid(model: NeuralDenoiser) -> tuple[int, int]:
    """(h, w) of states."""
    assert isinstance(model.space, Euclidean)
    _, h, w = model.space.shape
    return h, w


def reconstructed(model: NeuralDenoiser, full: bool, seed: int) -> Stream[Chapter]:
    """A slice that no training saw, from lines of k-space that simulated coils measured of it.

    Args:
        model: of slices.
        full: as many samples as a judgement needs.
        seed: of coils, mask, noise and samples.
    """
    scan = example(SLICE, _grid(model)[0], number=seed)
    told, (n, steps) = seen(scan), FULL if full else QUICK
    asked = model & kspace(told, *SOLVE[full])
    samples = yield from draws(asked, n, Independent(steps=steps, batch_size=8, eta=1.0), seed=seed)
    truth = scan.image.abs().double().numpy()
    members, mean = (metrics.magnitude(x) * told.scale for x in (samples.x, samples.x.mean(0)))
    brain = metrics.brain(truth)
    return Chapter(
        TITLE,
        f"A slice of a subject that the model has not learned from, as {len(scan.maps)} coils would have measured "
        f"{scan.mask.double().mean():.0%} of the lines of its k-space, with noise of {scan.std:g} of the largest "
        f"magnitude (<b>{RETROSPECTIVE}; {CLINICAL}</b>). Coil maps, phase and brightness are taken from "
        f"what was measured. {n} posterior samples in {steps} steps; their mean is the reconstruction, their standard "
        "deviation says where it may be wrong.",
        figures := [maps(scan, told, truth, mean, members), covered(truth, members, brain)],
        [*metrics.against(truth[None], members[None], brain[None], mean[None]), filled(truth, told)],
        figures[0],
    )


def seen(scan: Example) -> Slice:
    """Coil maps, phase and brightness from what was measured, as they are of a file of which σ is known.

    Args:
        scan: of which the truth and the coil maps are not looked at.
    """
    asked = MriRequest(kspace=Path(f"{SLICE}.npz"), sigma=scan.std, hold_out=0.0)
    return Volume(asked, scan.scan, range(1))[0]


def zero_filled(told: Slice) -> Float[np.ndarray, "h w"]:
    """Magnitude of the image of what was measured, 0 elsewhere in k-space, in the units of the scan.

    Args:
        told: what is known of the slice.
    """
    operator = Sense(told.maps, told.mask)
    state = operator.adjoint(operator.measured(told.kspace)[None]) / told.maps.abs().square().sum(0)
    return metrics.magnitude(state)[0] * told.scale


# Figures and numbers ----------------------------------------------------------------------------------


def maps(
    scan: Example,
    told: Slice,
    truth: Float[np.ndarray, "h w"],
    mean: Float[np.ndarray, "h w"],
    members: Float[np.ndarray, "members h w"],
) -> Figure:
    """Mask, zero-filled image, truth, mean, and error and standard deviation on one scale.

    Args:
        scan, told: the slice and what is known of it.
        truth, mean, members: magnitudes, in the units of the scan.
    """
    spread = members.std(0, ddof=1)
    error, white = np.abs(mean - truth), float(np.quantile(truth, 0.995))
    most = float(np.quantile(np.maximum(error, spread), 0.995))
    grey, doubt = {"cmap": "gray", "vmin": 0, "vmax": white}, {"cmap": "inferno", "vmin": 0, "vmax": most}
    panels = [
        ("k-space measured", scan.mask.numpy(), {"cmap": "gray", "vmin": 0, "vmax": 1}),
        ("zero-filled", zero_filled(told), grey),
        ("truth", truth, grey),
        (f"mean of {len(members)} samples", mean, grey),
        ("|mean − truth|", error, doubt),
        ("standard deviation", spread, doubt),
    ]
    canvas = plots.empty(7.2, 5.0)
    canvas.set_layout_engine("constrained")
    every: Any = canvas.subplots(2, 3).ravel()
    for axes, (name, image, look) in zip(every, panels, strict=True):
        axes.imshow(image, interpolation="nearest", **look)
        axes.set_title(name, fontsize=9, pad=3)
        axes.set_axis_off()
    bar = canvas.colorbar(every[-1].images[0], ax=list(every[3:]), fraction=0.025, label="of the largest magnitude")
    bar.outline.set_visible(False)
    buffer = BytesIO()
    canvas.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    caption = f"Slice {SLICE}, {RETROSPECTIVE}. Error and standard deviation on one scale."
    return Figure(buffer.getvalue(), caption, "png", 720)


def covered(
    truth: Float[np.ndarray, "h w"], members: Float[np.ndarray, "members h w"], brain: Bool[np.ndarray, "h w"]
) -> Figure:
    """How often central intervals of the samples hold the truth, in the brain.

    Args:
        truth, members: magnitudes.
        brain: true in it.
    """
    found: Coverage = metrics.coverage(truth[None], members[None], brain[None])
    lines = {"right": ([0.0, 1.0], [0.0, 1.0]), "found": (found.levels.tolist(), found.values.tolist())}
    drawn = plots.curves(lines, "level of the interval", "voxels that it holds", size=(3.6, 3.0))
    caption = (
        f"Coverage of the {found.points:,} voxels of the brain, raw (not widened). They err together: of one slice no "
        "error can be stated."
    )
    return Figure(drawn, caption, "svg+xml", 360)


def filled(truth: Float[np.ndarray, "h w"], told: Slice) -> Metric:
    """What is reached without a model.

    Args:
        truth: magnitude.
        told: what is known of the slice.
    """
    value = float(metrics.psnr(truth[None], zero_filled(told)[None])[0])
    return Metric("zero-filled: PSNR, slice maximum", value, "higher", "What is not measured taken for 0.")

"""What a model of pictures knows, shown on pictures it never saw: copy from here."""

import torch
from torch import Tensor

from ...composition import mixture, product
from ...datasets import Arrays
from ...denoisers import Denoiser
from ...report import pictures
from ...samples import Samples, sample
from ...tasks import Chapter, Figure, Score
from . import data
from .factors import Ink, blurred, coarse, inpainted, label

SHOWN = 12


def chapter(model: Denoiser, held_out: Arrays, seed: int) -> Chapter:
    """Pictures from a quarter of their pixels, with what is left uncertain; and other things to say."""
    assert isinstance(held_out.x, Tensor)
    truths = held_out.x[:3]
    seen = torch.zeros(truths.shape[1:], dtype=torch.bool)
    seen[:, ::2, ::2] = True
    found = [reconstructed(model, truth, seen, seed) for truth in truths]
    rows = torch.cat([_row(truth, seen, samples) for truth, samples in zip(truths, found, strict=True)])
    inside = torch.stack([_inside(truth, samples)[~seen] for truth, samples in zip(truths, found, strict=True)])
    smallest = min(min(samples.exactness.ess) for samples in found if samples.exactness)
    return Chapter(
        "Digits from a quarter of their pixels",
        f"Held-out digits, one pixel in four seen. From the left: the truth, what was seen, the mean of 64 exact "
        f"samples, their standard deviation, and {SHOWN} of them (64 particles of 25 steps, effective sample size at "
        f"least {smallest:.0%}). Below, the same model told other things.",
        [
            Figure(_tiles(rows, SHOWN + 4), "truth · seen · mean · standard deviation · samples", width=640),
            *(Figure(_tiles(x[:SHOWN], SHOWN), caption, width=480) for caption, x in _said(model, truths[0], seed)),
        ],
        [
            Score(
                "unseen pixels within two standard deviations",
                inside.double().mean().item(),
                "closer",
                "Share of the pixels that were not seen; a normal posterior would have .95.",
                0.95,
                "normal",
            )
        ],
    )


def reconstructed(model: Denoiser, truth: Tensor, seen: Tensor, seed: int, n: int = 64) -> Samples:
    """Exact samples of a picture of which some pixels were seen."""
    return sample(model & inpainted(truth, seen, 0.15), n, 25, seed=seed, exact="particles", particles=n)


def _said(model: Denoiser, truth: Tensor, seed: int) -> list[tuple[str, Tensor]]:
    """The first held-out picture through worse glasses, and digits described in other words."""
    means = torch.nn.functional.avg_pool2d(truth, 2)
    three, eight = model & label(3), model & label(8)
    described = {
        "from the means of 2 × 2 pixels": model & coarse(means, 2, 0.05),
        "from a blur of one pixel": model & blurred(_blur(truth), 1.0, 0.05),
        "a 3 that is thick: mean brightness .4": three & Ink(0.4, 256),
        "a 3 or an 8 (mixture)": mixture([three, eight]),
        "a 3 and an 8 (product over all digits)": product(three, eight, model),
    }
    return [(caption, sample(denoiser, SHOWN, 20, seed=seed).x) for caption, denoiser in described.items()]


def _blur(truth: Tensor) -> Tensor:
    return blurred(truth, 1.0).operator(truth[None])[0]


def _row(truth: Tensor, seen: Tensor, samples: Samples) -> Tensor:
    shown = torch.where(seen, truth, -torch.ones_like(truth))
    summary = torch.stack([truth, shown, samples.x.mean(0), samples.x.std(0) - 1])
    return torch.cat([summary, samples.x[:: len(samples) // SHOWN][:SHOWN]])


def _inside(truth: Tensor, samples: Samples) -> Tensor:
    return (truth - samples.x.mean(0)).abs() < 2 * samples.x.std(0)


def _tiles(x: Tensor, columns: int) -> bytes:
    return pictures.png(pictures.tile(data.to_bytes(x), columns, zoom=max(1, 40 // x.shape[-1])))

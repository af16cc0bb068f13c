"""What the tour tells of pictures: what words can say, and what a model knows of pictures that it never saw."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from ...denoisers.base import Denoiser, NeuralDenoiser
from ...denoisers.composition import mixture, product
from ...events import Stream, part
from ...guidance.operators import Blur
from ...report import walls
from ...tasks.drawing import draws, sample
from ...tasks.engines import Population
from ...tasks.figures import Chapter, Metric, Stop
from ...tasks.requests import drawing
from ...tasks.samples import Samples
from . import data
from .factors import Brightness, blurred, coarse, inpainted, label
from .requests import WAY, ImagesRequest
from .vision.examples import PROMPTS, TWO

SHOWN = 12
QUICK = 12  # steps


# What words can say -----------------------------------------------------------------------------------

_COMPOSED = (
    " A composition is the product of two denoisers over what both have in common, so that it needs no picture of both "
    "to learn from."
)


def words(model: NeuralDenoiser, full: bool) -> list[Stop]:
    """What emoji show; and new words, styles mixed, two things in one picture, the way from one to another."""
    assert model.origin is not None
    styles, some = model.origin.metadata["labels"] or [""], (4, 12) if full else (2, 8)
    new = {
        "what no emoji shows": PROMPTS[16:],
        "in each style, and in two at once": tuple(
            prompt
            for text in PROMPTS[: some[0]]
            for prompt in (*(f"{text} @{style}" for style in styles), _mixed(text, styles))
        ),
        "two things, each as a prompt of its own": tuple(f"{a} AND {b}" for a, b in TWO[: some[1]]),
        "the same, joined by a word": tuple(f"{a} and {b}" for a, b in TWO[: some[1]]),
        "from a red heart to a yellow star": ("a red heart TO a yellow star",) * WAY,
    }
    said = {
        "Pictures from words": ({"what emoji show": PROMPTS[:16]}, "", 6),
        "New words, two at once, and ways between": (new, _COMPOSED, 14),
    }
    return [
        Stop(title, partial(_said_in_words, model, title, asked, text), 10 + k, seconds)
        for k, (title, (asked, text, seconds)) in enumerate(said.items())
    ]


def _said_in_words(
    model: NeuralDenoiser, title: str, said: Mapping[str, Sequence[str]], text: str, seed: int
) -> Stream[Chapter]:
    """Walls of prompts; the first with its trajectory."""
    figures, total = [], float(sum(map(len, said.values())))
    for caption, asked in said.items():
        request = ImagesRequest(prompt=tuple(dict.fromkeys(asked)))
        how = {"steps": QUICK, "batch_size": 16, "seed": seed, "trajectory": True if not figures else None}
        before = sum(len(one) for one in list(said.values())[: list(said).index(caption)])
        samples = yield from part(drawing(model, request, len(asked), **how), before, len(asked), total)
        figures += [
            walls.wall(samples.x, 8, f"{caption}: {', '.join(dict.fromkeys(asked))}"),
            *(walls.trajectory(samples.trajectory) if samples.trajectory else []),
        ]
    example = next(iter(said.values()))[0]
    lead = f'Drawn now: <code>ornstein sample images/openmoji --prompt "{example}"</code>, {QUICK} steps each.'
    return Chapter(title, lead + text, figures, cover=figures[0])


def _mixed(text: str, styles: Sequence[str]) -> str:
    return f"{text} @{styles[0]}:0.5 AND {text} @{styles[-1]}:0.5"


# What a model knows, shown on pictures it never saw ---------------------------------------------------


QUARTER = "Digits from a quarter of their pixels"


def playground(model: Denoiser, seed: int, full: bool) -> Stream[Chapter]:
    """Pictures from a quarter of their pixels, with what is left uncertain; and other things to say."""
    held_out = data.digits()[1]
    assert isinstance(held_out.x, Tensor)
    n, steps, count = (64, 25, 3) if full else (64, 12, 2)
    truths, found = held_out.x[:count], []
    seen = torch.zeros(truths.shape[1:], dtype=torch.bool)
    seen[:, ::2, ::2] = True
    how = Population(particles=n, steps=steps)
    for k, truth in enumerate(truths):
        restored = draws(model & inpainted(truth, seen, 0.15), n, how, seed=seed)
        samples = yield from part(restored, k, 1, count + 0.5)
        found.append(samples)
    rows = torch.cat([_row(truth, seen, samples) for truth, samples in zip(truths, found, strict=True)])
    inside = torch.stack([_inside(truth, samples)[~seen] for truth, samples in zip(truths, found, strict=True)])
    smallest = min(min(samples.exactness.ess) for samples in found if samples.exactness)
    wall = walls.wall(rows, SHOWN + 4, "truth · seen · mean · standard deviation · samples")
    return Chapter(
        QUARTER,
        f"Held-out digits, one pixel in four seen. From the left: the truth, what was seen, the mean of {n} particles "
        f"after {steps} steps, their standard deviation, and {SHOWN} of them; the effective sample size is at least "
        f"{smallest:.0%} of {n}. Below, the same model told other things.",
        [wall, *(walls.wall(x, SHOWN, caption) for caption, x in _said(model, truths[0], seed, full))],
        [
            Metric(
                "unseen pixels within two standard deviations",
                inside.double().mean().item(),
                "closer",
                f"Share of the pixels that were not seen, in {count} digits; a normal posterior would have 0.95.",
                0.95,
                "normal",
            )
        ],
        wall,
    )


def _said(model: Denoiser, truth: Tensor, seed: int, full: bool) -> list[tuple[str, Tensor]]:
    """The first held-out picture through worse glasses, and digits described in other words."""
    means = torch.nn.functional.avg_pool2d(truth, 2)
    three, eight = model & label(3), model & label(8)
    described = {
        "from the means of 2 × 2 pixels": lambda: model & coarse(means, 2, 0.05),
        "a 3 or an 8 (mixture)": lambda: mixture([three, eight]),
    }
    if full:
        described |= {
            "from a blur of one pixel": lambda: model & blurred(_blur(truth), 1.0, 0.05),
            "a 3 that is thick: mean brightness .4": lambda: three & Brightness(0.4, 256),
            "a 3 and an 8 (product over all digits)": lambda: product(three, eight, model),
        }
    steps = 20 if full else QUICK
    return [(caption, sample(told(), SHOWN, steps, seed=seed).x) for caption, told in described.items()]


def _blur(truth: Tensor) -> Tensor:
    return Blur.gaussian(1.0)(truth[None])[0]


def _row(truth: Tensor, seen: Tensor, samples: Samples) -> Tensor:
    shown = torch.where(seen, truth, -torch.ones_like(truth))
    summary = torch.stack([truth, shown, samples.x.mean(0), samples.x.std(0) - 1])
    return torch.cat([summary, samples.x[:: len(samples) // SHOWN][:SHOWN]])


def _inside(truth: Tensor, samples: Samples) -> Tensor:
    return (truth - samples.x.mean(0)).abs() < 2 * samples.x.std(0)

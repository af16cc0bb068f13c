"""A chapter of the tour: the engine against distributions whose every answer is known."""

from collections.abc import Sequence

import torch

from ..denoisers.oracles import Mixture, enumerated, gaussian_mixture, ring
from ..keys import Keys
from ..sampling import grids
from ..sampling.kernels import Predictor
from ..sampling.sampler import Sampler
from ..spaces import Categorical
from ..tasks.figures import Chapter, Figure, Stop, at_once
from . import plots


def chapter(seed: int) -> Chapter:
    """Continuous and discrete samples beside exact ones, and the measured order of the solvers."""
    return Chapter(
        "Is it right? Distributions we know exactly",
        "Here the denoiser is exact, so whatever differs from the truth is the sampler's doing. The same loop draws "
        "points in the plane and words of three letters.",
        [
            Figure(
                _film(seed),
                "Eight Gaussians: from noise to samples in 25 steps; last, exact samples",
                "svg+xml",
                900,
            ),
            Figure(
                _order(seed),
                "Error at the end of the path against steps: the slopes are the orders",
                "svg+xml",
                430,
            ),
            Figure(
                _words(seed),
                "Words of three letters out of three, masked diffusion: 20,000 draws",
                "svg+xml",
                480,
            ),
        ],
    )


def _film(seed: int) -> bytes:
    world, keys = ring(), Keys.of(seed, 2000)
    walks = list(Sampler(grids.asinh(25, world.space), (grids.SOLVER,)).steps(world, keys))
    panels = {f"t = {walks[k].t:.2f}": walks[k].x.numpy() for k in (4, 10, 13, 16, 24)}
    return plots.clouds({**panels, "exact": world.draw(keys).numpy()}, 2.2)


def _order(seed: int) -> bytes:
    identity = torch.eye(2, dtype=torch.float64)
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64)
    world = gaussian_mixture(means, torch.stack([0.5 * identity, 0.3 * identity]))
    start = Keys.of(seed, 256).normal(2)
    reference, counts = _end(world, start, 2048, 3), (8, 16, 32, 64, 128)
    lines = {
        f"order {order}": (counts, [_rms(_end(world, start, n, order) - reference) for n in counts])
        for order in (1, 2, 3)
    }
    return plots.curves(lines, "steps", "root mean square error", "xy")


def _end(world: Mixture, start: torch.Tensor, steps: int, order: int) -> torch.Tensor:
    """The end of the deterministic path on a grid uniform in log-SNR, where the order shows undisturbed."""
    grid: Sequence[float] = world.components.space.schedule.time(torch.linspace(-6, 6, steps + 1)).tolist()
    return Sampler(grid, (Predictor(eta=0.0, order=order),)).run(world, Keys.of(0, len(start)), start=start)


def _rms(error: torch.Tensor) -> float:
    return error.square().mean().sqrt().item()


def _words(seed: int, letters: str = "ACG", n: int = 20_000) -> bytes:
    size = len(letters)
    probs = Keys.of(1, 1).uniform(size, size, size)[0] ** 2
    world = enumerated(Categorical.masked((3,), size), probs / probs.sum())
    x = Sampler(grids.uniform(100), (Predictor(),)).run(world, Keys.of(seed, n))
    code = (x * torch.tensor([size**2, size, 1])).sum(1)
    drawn = torch.bincount(code, minlength=size**3) / n
    words = [a + b + c for a in letters for b in letters for c in letters]
    return plots.bars({"exact": world.weights.tolist(), "drawn": drawn.tolist()}, words, "probability")


STOP = Stop("Is it right? Distributions we know exactly", at_once(chapter), 80, 6)

"""A chapter of the tour: what is said about x₀ is followed as far as it can be, and the distance is measured."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..denoisers.oracles import Mixture, gaussian_mixture
from ..guidance.measurements import Measurement
from ..guidance.operators import Matrix
from ..keys import Keys
from ..tasks.brackets import tilted_mean
from ..tasks.drawing import sample
from ..tasks.figures import Chapter, Figure, Stop, at_once
from ..tasks.strength import Law, StrengthSearch
from . import plots

_F64 = torch.float64
TITLE = "Say what you know: guidance that can be predicted, posteriors that are exact"


def chapter(seed: int) -> Chapter:
    """The knob of guidance, and a posterior beside the exact one."""
    posterior, caption = _posterior(seed)
    return Chapter(
        TITLE,
        "A denoiser and a factor make a denoiser: <code>model &amp; factor</code>. Guidance alone is near; with "
        '<code>exact="particles"</code> samples are weighed until they follow model times factor, and say how well '
        "that went.",
        [
            Figure(_knob(seed), "The mean of w in samples of p(x) exp(γ w), three modes on a line", "svg+xml", 520),
            Figure(posterior, caption, "svg+xml", 900),
        ],
    )


def three_modes() -> Mixture:
    """Three modes on a line, far from Gaussian."""
    means = torch.tensor([[-1.5], [1.0], [3.5]], dtype=_F64)
    variances = torch.tensor([0.3, 0.5, 0.2], dtype=_F64)
    return gaussian_mixture(means, variances[:, None, None], torch.tensor([0.35, 0.4, 0.25], dtype=_F64))


def exact_mean(world: Mixture, gamma: float) -> float:
    """E[x] under p(x) exp(γ x), of a mixture of Gaussians on a line."""
    parts = world.components
    means, variances = parts.means[:, 0], parts.variances[:, 0]  # pyright: ignore[reportAttributeAccessIssue]
    share = (world.weights.log() + gamma * means + gamma**2 * variances / 2).softmax(0)
    return (share * (means + gamma * variances)).sum().item()


def _first(x: Tensor) -> Tensor:
    return x[:, 0]


def _knob(seed: int, n: int = 4000) -> bytes:
    world = three_modes()
    knob = StrengthSearch(world, _first, n)
    values = knob.draw(0.0, seed)[0]
    law, gammas = Law.of(values), torch.linspace(-1.5, 1.5, 31).tolist()
    tried = (-1.0, -0.5, 0.5, 1.0)
    guided = [sample(world & knob.guide(gamma), n, 50, seed=seed).x.mean().item() for gamma in tried]
    lines: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "exact": (gammas, [exact_mean(world, gamma) for gamma in gammas]),
        "the line μ + σ²γ": (gammas, [law(gamma) for gamma in gammas]),
        "predicted from unguided samples": (gammas, [tilted_mean(values, gamma) for gamma in gammas]),
        "measured, particles": (tried, [knob.draw(gamma, seed)[0].mean().item() for gamma in tried]),
        "measured, guided only": (tried, guided),
    }
    return plots.curves(lines, "γ", "mean of w", size=(5.4, 3.4))


def _posterior(seed: int, n: int = 1000) -> tuple[bytes, str]:
    angle = torch.arange(5, dtype=_F64) * (2 * torch.pi / 5)
    means = torch.stack([angle.cos(), angle.sin()], 1)
    world = gaussian_mixture(means, 0.03 * torch.eye(2, dtype=_F64).expand(5, 2, 2))
    row, y, noise = torch.tensor([[1.0, 0.5]], dtype=_F64), torch.tensor([0.45], dtype=_F64), 0.2
    guided = world & Measurement(y, Matrix(row), noise)
    keys = Keys.of(seed, 40 * n)
    prior = world.draw(keys).double()
    likelihood = -0.5 * ((prior @ row[0] - y) / noise) ** 2
    exact = prior[keys[:1].uniform(len(prior))[0].log().neg().div(likelihood.exp()).topk(n, largest=False).indices]
    particles = sample(guided, n, exact="particles", particles=n, seed=seed)
    panels = {
        "prior": prior[:n].numpy(),
        "guided only": sample(guided, n, seed=seed).x.numpy(),
        "particles": particles.x.numpy(),
        "exact posterior": exact.numpy(),
    }
    caption = f"Five modes, of which x₁ + x₂/2 was measured as {y.item()} ± {noise}. {particles.exactness}"
    return plots.clouds(panels, 1.7, 2.2), caption


STOP = Stop(TITLE, at_once(chapter), 81, 4)

"""How probable data are under a model.

Continuous data: the probability flow from data to noise is an invertible map F (Chen et al. 2018, Song et al. 2021):

    log p(x₀) = log N(F(x₀); 0, σ(1)²) + log |det ∂F/∂x₀|.

Here F is the *discrete* map of the solver, taken step by step, and its determinant is exact: the numbers are those of a
normalised density. For large data the determinant's integrated trace is estimated by random probes (Hutchinson): for
reports, not for weights. Data are taken as seen through noise of `least` times their spread.

Categories: the bound of the sampler's own steps, log p(x₀) ≥ −Σ_k E KL(q(x_s | x_t, x₀) ‖ p(x_s | x_t)).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import log

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from .beliefs import Probs
from .denoisers import Condition, Denoiser
from .grids import log_snr, uniform
from .kernels import Heun, Walk
from .keys import Keys
from .spaces import Categorical, Choice, Euclidean, Gaussian
from .states import per_sample_sum


def log_prob(
    denoiser: Denoiser,
    x0: Float[Tensor, "batch ..."],
    steps: int = 60,
    condition: Condition | None = None,
    least: float = 1e-3,
) -> Float[Tensor, " batch"]:
    """log p(x₀) in nats, with the exact determinant of the solver's map: two calls and 2d gradients a step.

    Args:
        steps: of Heun's method in exponential form, from the data to pure noise.
        least: the noise, in units of the data's spread, that data are seen through.
    """
    space = _flow(denoiser, condition)
    grid = _upward(space, steps, least)
    level = space.schedule.alpha(grid[0]).item()
    x, total = level * x0, _dimension(x0) * log(level) * torch.ones(len(x0), dtype=torch.float64)
    for t, s in pairwise(grid):
        x, jacobian = _step_with_jacobian(denoiser, space, x, t, s, condition or {})
        total = total + torch.linalg.slogdet(jacobian.double()).logabsdet
    return total + _prior(space).log_prob(x)


def log_prob_estimate(
    denoiser: Denoiser,
    x0: Float[Tensor, "batch ..."],
    keys: Keys,
    steps: int = 60,
    condition: Condition | None = None,
    least: float = 1e-3,
) -> Float[Tensor, " batch"]:
    """log p(x₀) in nats with the trace of the flow's Jacobian probed once a step (Hutchinson): one gradient a step.

    For reports on large data: unbiased in the trace only as steps grow, and noisy; never a weight.
    """
    space = _flow(denoiser, condition)
    grid = _upward(space, steps, least)[:-1]  # the rest to pure noise is the data's spread against the noise's
    x = space.schedule.alpha(grid[0]).item() * x0
    traces = []
    for k, (t, s) in enumerate(pairwise((*grid, grid[-1]))):
        traces.append(_trace(denoiser, x, t, keys.fold(k), condition or {}))
        if t != s:
            with torch.no_grad():
                x = Heun()(Walk(x, t, space), s, denoiser, condition or {}, keys).x
    return _integrated(space, grid, torch.stack(traces)) + _end(space, grid[-1]).log_prob(x)


def elbo(
    denoiser: Denoiser,
    x0: Int[Tensor, "batch *positions"],
    keys: Keys,
    steps: int = 100,
    condition: Condition | None = None,
) -> Float[Tensor, " batch"]:
    """A lower bound on log p(x₀) in nats: that of ancestral sampling on the uniform grid, one draw of x_t a step.

    −∞ where the model rules the data out.
    """
    condition = condition or {}
    space = denoiser.space.where(condition.get("mask"))
    assert isinstance(space, Categorical), "the bound is of categories; continuous data have log_prob"
    certain = Probs(torch.nn.functional.one_hot(x0, space.states).double().log())
    total = torch.zeros(len(x0), dtype=torch.float64, device=x0.device)
    for k, (t, s) in enumerate(pairwise(uniform(steps))):
        x_t = space.noise(x0, t, keys.fold(k))
        truth, model = (space.step(x_t, belief, t, s) for belief in (certain, denoiser(x_t, t, condition)))
        total -= _divergence(truth, model)
    return total


def bits_per_dimension(nats: Float[Tensor, " batch"], x0: Tensor) -> Float[Tensor, " batch"]:
    """−log₂ p a number of the data."""
    return -nats / (_dimension(x0) * log(2))


def _divergence(p: Choice, q: Choice) -> Tensor:
    """KL(p ‖ q) a sample, summed over the positions that exist; +∞ where q rules out what p does not."""
    gap = (p.log_probs - q.log_probs).nan_to_num(0.0, posinf=torch.inf)  # −∞ and NaN belong to states without weight
    each = (p.log_probs.exp() * gap).sum(-1)
    return per_sample_sum(each if p.mask is None else each.where(p.mask, 0.0))


def _flow(denoiser: Denoiser, condition: Condition | None) -> Euclidean:
    space = denoiser.space
    if type(space) is not Euclidean or (condition and "mask" in condition):
        raise ValueError(f"the flow's density is for whole Euclidean data, not {type(space).__name__}")
    return space


def _upward(space: Euclidean, steps: int, least: float) -> Sequence[float]:
    """Times from the least noise up to 1."""
    return log_snr(steps + 1, space, least)[-2::-1]


def _step_with_jacobian(
    denoiser: Denoiser, space: Euclidean, x: Tensor, t: float, s: float, condition: Condition
) -> tuple[Tensor, Tensor]:
    """The state at s and its derivative by the state at t, (batch, d, d)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        moved = Heun()(Walk(x, t, space), s, denoiser, condition, Keys.of(0, len(x), x.device)).x.flatten(1)
        rows = [torch.autograd.grad(moved[:, i].sum(), x, retain_graph=True)[0] for i in range(moved.shape[1])]
    return moved.detach().reshape(x.shape), rearrange(torch.stack(rows).flatten(2), "i b j -> b i j")


def _trace(denoiser: Denoiser, x: Tensor, t: float, keys: Keys, condition: Condition) -> Tensor:
    """An estimate of tr ∂x̂/∂x_t from one probe of random signs."""
    x = x.detach().requires_grad_()
    probe = (keys.uniform(*x.shape[1:]) < 0.5).to(x) * 2 - 1
    with torch.enable_grad():
        mean = denoiser(x, t, condition).mean
    return per_sample_sum(torch.autograd.grad(mean, x, probe)[0] * probe).double()


def _integrated(space: Euclidean, grid: Sequence[float], traces: Float[Tensor, "times batch"]) -> Tensor:
    """log |det| of x₀ ↦ x at the last time: d log α plus ∫ (d − α tr ∂x̂/∂x_t) d log σ/α, trapezoidal."""
    times = torch.tensor(grid, dtype=torch.float64)
    alpha, d = space.schedule.alpha(times), _dimension(torch.empty(1, *space.shape))
    slope = d - alpha[:, None] * traces
    return torch.trapezoid(slope, -space.schedule.log_snr(times)[:, None] / 2, dim=0) + d * alpha[-1].log()


def _prior(space: Euclidean) -> Gaussian:
    return Gaussian(torch.zeros(1, *space.shape, dtype=torch.float64), space.schedule.sigma(1.0).item(), space)


def _end(space: Euclidean, t: float) -> Gaussian:
    """The law of almost pure noise: the data's spread still counts a little."""
    alpha, sigma = space.schedule.alpha(t).item(), space.schedule.sigma(t).item()
    width = (alpha**2 * space.data_std**2 + sigma**2) ** 0.5
    return Gaussian(torch.zeros(1, *space.shape, dtype=torch.float64), width, space)


def _dimension(x: Tensor) -> int:
    return x[0].numel()

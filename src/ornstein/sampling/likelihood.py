"""How probable data are under a model.

Continuous data: the probability flow from data to noise is an invertible map F (Chen et al. 2018, Song et al. 2021):

    log p(x₀) = log N(F(x₀); 0, σ(1)²) + log |det ∂F/∂x₀|.

Here F is the *discrete* map of the solver, and its determinant is exact: the numbers are those of a normalised density.
`log_prob` walks up from data that were given, step by step; `draw_with_log_prob` walks down from noise, and its samples
come with the density q that drew them, so that p(x₀)/q(x₀) is an unbiased weight. Of centred points both are densities
on the degrees of freedom: the determinants are det BᵀJB, B an orthonormal basis. For large data the determinant's
integrated trace is estimated by random probes (Hutchinson): for reports, not for weights.

A deterministic step is linear in state and belief, so ∂x/∂x₁ walks with x through the same solver, of whatever order:
the belief about a column v of it is (∂x̂/∂x) v, and one determinant is taken at the end.

Categories: the bound of the sampler's own steps, log p(x₀) ≥ −Σ_k E KL(q(x_s | x_t, x₀) ‖ p(x_s | x_t)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, prod
from typing import Any

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from ..beliefs import Normal, Probs
from ..denoisers.base import Condition, Denoiser, Guided
from ..denoisers.composition import within
from ..errors import InputError
from ..events import Event, Stream, part, streamed
from ..guidance.factors import Factored
from ..keys import Keys
from ..spaces import Categorical, Choice, Euclidean, Gaussian, Space
from ..states import State, Time, per_sample_sum, take
from .grids import SOLVER, log_snr, uniform
from .kernels import Heun, SamplerState
from .sampler import Sampler


def log_prob(
    denoiser: Denoiser,
    x0: Float[Tensor, "batch ..."],
    steps: int = 60,
    condition: Condition | None = None,
    least: float = 1e-3,
) -> Float[Tensor, " batch"]:
    """log p(x₀) in nats, with the exact determinant of the solver's map: two calls and 2r gradients a step.

    Args:
        steps: of Heun's method in exponential form, from the data to pure noise.
        least: the noise, in units of the data's spread, that data are seen through.
        denoiser: the model, (x_t, t, condition) → belief.
        x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for a
            product.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    space = _flow(denoiser, condition)
    grid, basis = _upward(space, steps, least), _basis(space, x0.device)
    level = space.schedule.alpha(grid[0]).item()
    x = level * space.project(x0)
    total = torch.full((len(x0),), len(basis) * log(level), dtype=torch.float64, device=x0.device)
    for t, s in pairwise(grid):
        x, jacobian = _step_with_jacobian(denoiser, space, x, t, s, condition or {}, basis)
        total = total + torch.linalg.slogdet(jacobian.double()).logabsdet
    return total + _prior(space, x).log_prob(x)


@streamed
def draw_with_log_prob(
    denoiser: Denoiser,
    keys: Keys,
    steps: int = 20,
    condition: Condition | None = None,
    least: float = 3e-3,
    batch: int = 512,
) -> Stream[tuple[Float[Tensor, "batch ..."], Float[Tensor, " batch"]]]:
    """Samples, and the exact log q in nats that they were drawn with.

    Costs one call and r gradients a step, r the degrees of freedom: on one core, 512 samples of an MLP of width 128 in
    20 steps take 0.04 s in 2 dimensions, 0.1 s in 8 and 0.6 s in 32, against 0.014 s without log q.

    Args:
        keys: one a sample.
        steps: of the solver of order 3, from pure noise down to `least`, and from there to the belief's mean.
        least: the last noise, in units of the data's spread; the finest features should be several times wider.
        batch: samples that walk together, with r states each.
        denoiser: the model, (x_t, t, condition) → belief.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.

    InputError for what is guided by factors, whose updates have no derivative, and for mixtures of denoisers.
    """
    space = _flow(denoiser, condition)
    if any(isinstance(part, Factored) for part in (denoiser, *within(denoiser))):
        raise InputError("factors' updates have no derivative: draw from the prior alone, and weigh by the factor")
    if denoiser.latent(keys):
        raise InputError("each sample of a mixture has the density of its component alone: draw from one denoiser")
    parts = [slice(first, first + batch) for first in range(0, len(keys), batch)]
    walker, grid = _Tangents(denoiser, _basis(space, keys.root.device)), flow_grid(steps, space, least)
    drawn = []
    for k, chosen in enumerate(parts):
        state = walker.draw(keys[chosen], grid, take(condition or {}, chosen))
        drawn.append((yield from part(state, k * steps, steps, steps * len(parts))))
    x, log_q = zip(*drawn, strict=True)
    return torch.cat(x), torch.cat(log_q)


def flow_grid(steps: int, space: Space, least: float = 3e-3) -> tuple[float, ...]:
    """The times of a flow with its density: even in log σ/α down to the least noise.

    Args:
        steps: intervals of the time grid.
        space: the kind of data and its noise.
    """
    return tuple(log_snr(steps, space, least))


@dataclass(frozen=True, repr=False)
class _Tangents(Guided):
    """A denoiser of states that are followed by their derivatives by the noise they came from, stacked in the batch.

    Attributes:
        basis: B, the directions of those derivatives.
    """

    basis: Float[Tensor, "r d"]

    def draw(self, keys: Keys, grid: Sequence[float], condition: Condition) -> Stream[tuple[Tensor, Tensor]]:
        """Samples and their log q."""
        noise = self.space.prior(keys.fold("prior"))
        columns = repeat(self.basis, "r d -> (r b) d", b=len(keys)).reshape(-1, *noise.shape[1:])
        start = torch.cat([noise.double(), columns])
        walks, x = Sampler(grid, (SOLVER,)).steps(self, keys, condition, start), start
        for k in range(len(grid) - 1):
            with torch.no_grad():
                x = next(walks).x
            yield Event(k + 1, len(grid) - 1, "proposing", x[: len(keys)])
        jacobian = einsum(self.basis, self._columns(x, len(keys)), "i d, j b d -> b i j")
        log_q = _prior(self.space, noise).log_prob(noise) - torch.linalg.slogdet(jacobian).logabsdet
        return x[: len(keys)].to(noise), log_q

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        n = len(x_t) // (1 + len(self.basis))
        x = x_t[:n].to(torch.get_default_dtype()).requires_grad_()
        with torch.enable_grad():
            mean = self.denoiser(x, t, condition).mean
            slopes = _slopes(mean, x, self.basis).double()
        along = einsum(slopes, self._columns(x_t, n), "i b d, j b d -> j b i")
        return Normal(torch.cat([mean.detach().double(), (along @ self.basis).reshape(-1, *x.shape[1:])]))

    def _columns(self, x: Tensor, n: int) -> Float[Tensor, "r batch d"]:
        return x[n:].reshape(len(self.basis), n, -1)


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

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for a
            product.
        keys: random keys, one a sample; they decide everything random.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        least: the smallest noise level, in units of the data's standard deviation.
    """
    space = _flow(denoiser, condition)
    grid = _upward(space, steps, least)[:-1]  # the rest to pure noise is the data's spread against the noise's
    x = space.schedule.alpha(grid[0]).item() * space.project(x0)
    traces = []
    for k, (t, s) in enumerate(pairwise((*grid, grid[-1]))):
        traces.append(_trace(denoiser, space, x, t, keys.fold(k), condition or {}))
        if t != s:
            with torch.no_grad():
                x = Heun()(SamplerState(x, t, space), s, denoiser, condition or {}, keys).x
    return _integrated(space, grid, torch.stack(traces), len(_basis(space, x.device))) + _end(
        space, grid[-1], x
    ).log_prob(x)


def elbo(
    denoiser: Denoiser,
    x0: Int[Tensor, "batch *positions"],
    keys: Keys,
    steps: int = 100,
    condition: Condition | None = None,
) -> Float[Tensor, " batch"]:
    """A lower bound on log p(x₀) in nats: that of ancestral sampling on the uniform grid, one draw of x_t a step.

    −∞ where the model rules the data out.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for a
            product.
        keys: random keys, one a sample; they decide everything random.
        steps: intervals of the time grid.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    condition = condition or {}
    space = denoiser.space.with_mask(condition.get("mask"))
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
    if not isinstance(space, Euclidean) or (condition and "mask" in condition):
        masked = "data under a mask" if isinstance(space, Euclidean) else f"{type(space).__name__} data"
        raise InputError(f"the flow's density is for whole continuous data, not for {masked}")
    return space


def _upward(space: Euclidean, steps: int, least: float) -> Sequence[float]:
    """Times from the least noise up to 1."""
    return log_snr(steps + 1, space, least)[-2::-1]


def _step_with_jacobian(
    denoiser: Denoiser, space: Euclidean, x: Tensor, t: float, s: float, condition: Condition, basis: Tensor
) -> tuple[Tensor, Tensor]:
    """The state at s and its derivative by the state at t, (batch, r, r)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        moved = Heun()(SamplerState(x, t, space), s, denoiser, condition, Keys.of(0, len(x), x.device)).x
        slopes = _slopes(moved, x, basis)
    return moved.detach(), rearrange(slopes @ basis.to(slopes).T, "i b j -> b i j")


def _slopes(y: Tensor, x: Tensor, basis: Float[Tensor, "r d"]) -> Float[Tensor, "r batch d"]:
    """Bᵀ ∂y/∂x: gradients all at once on a GPU, one after the other on a CPU, whose cache they would not fit."""
    rows = repeat(basis.to(y), "r d -> r (b d)", b=len(y)).reshape(-1, *y.shape)
    if y.is_cuda:
        return torch.autograd.grad(y, x, rows, is_grads_batched=True)[0].flatten(2)
    return torch.stack([torch.autograd.grad(y, x, row, retain_graph=True)[0].flatten(1) for row in rows])


def _basis(space: Euclidean, device: torch.device) -> Float[Tensor, "r d"]:
    """An orthonormal basis of the degrees of freedom, float64."""
    every = torch.eye(prod(space.shape), dtype=torch.float64, device=device)
    projector = space.project(every.reshape(-1, *space.shape)).flatten(1)
    values, axes = torch.linalg.eigh(projector)
    return every if projector.equal(every) else axes[:, values > 0.5].T


def _trace(
    denoiser: Denoiser, space: Euclidean, x: Tensor, t: float, keys: Keys, condition: Condition
) -> Float[Tensor, " batch"]:
    """An estimate of tr ∂x̂/∂x_t from one probe of random signs."""
    x = x.detach().requires_grad_()
    probe = space.project((keys.uniform(*x.shape[1:]) < 0.5).to(x) * 2 - 1)
    with torch.enable_grad():
        mean = denoiser(x, t, condition).mean
    return per_sample_sum(torch.autograd.grad(mean, x, probe)[0] * probe).double()


def _integrated(space: Euclidean, grid: Sequence[float], traces: Float[Tensor, "times batch"], d: int) -> Tensor:
    """log |det| of x₀ ↦ x at the last time: d log α plus ∫ (d − α tr ∂x̂/∂x_t) d log σ/α, trapezoidal."""
    times = torch.tensor(grid, dtype=torch.float64)
    alpha = space.schedule.alpha(times)
    slope = d - alpha[:, None] * traces
    return torch.trapezoid(slope, -space.schedule.log_snr(times)[:, None] / 2, dim=0) + d * alpha[-1].log()


def _prior(space: Any, like: Tensor) -> Gaussian:
    return Gaussian(torch.zeros_like(like[:1], dtype=torch.float64), space.schedule.sigma(1.0).item(), space)


def _end(space: Euclidean, t: float, like: Tensor) -> Gaussian:
    """The law of almost pure noise: the data's spread still counts a little."""
    alpha, sigma = space.schedule.alpha(t).item(), space.schedule.sigma(t).item()
    width = (alpha**2 * space.data_std**2 + sigma**2) ** 0.5
    return Gaussian(torch.zeros_like(like[:1], dtype=torch.float64), width, space)


def _dimension(x: Tensor) -> int:
    return x[0].numel()

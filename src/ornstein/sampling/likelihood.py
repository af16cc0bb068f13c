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

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ..beliefs import Probs
from ..denoisers.base import Condition, Denoiser
from ..denoisers.mapped import map_of
from ..errors import InputError
from ..events import Stream, part, streamed
from ..keys import Keys
from ..spaces import Categorical, Choice, Euclidean
from ..states import per_sample_sum, take
from ..values import require_whole
from .flows import Tangents, basis_of, carried, flow_grid, slopes_along, upward, whole_flow
from .grids import uniform
from .kernels import Heun, SamplerState

CLOSE, SAME = 0.1, 0.2
"""How far from the noise that leads to a point, in standard deviations, and how much of log p from that of the point, a
density is still that of the point."""
ROUNDS = 3
"""Newton's steps towards the noise that leads to a point."""


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
        x0: clean data, (batch, ...), in their own units: physical fields, where the model has a map, whose Jacobian is
            then counted.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    return _of_field(denoiser, x0, condition, lambda x: _log_prob_of_states(denoiser, x, steps, condition, least))


def _of_field(
    denoiser: Denoiser, field: Tensor, condition: Condition | None, log_p: Callable[[Tensor], Tensor]
) -> Float[Tensor, " batch"]:
    """The log-density of fields, of that of the model's states."""
    space, map = whole_flow(denoiser, condition), map_of(denoiser, condition, len(field))
    x = field if map is None else map.inverse(field)
    space.check(x, "x0")
    return log_p(x) if map is None else log_p(x) - map.log_det(x)


def _log_prob_of_states(
    denoiser: Denoiser, x0: Tensor, steps: int, condition: Condition | None, least: float
) -> Float[Tensor, " batch"]:
    space = whole_flow(denoiser, condition)
    grid, basis = upward(space, steps, least), basis_of(space, x0.device)
    level = space.schedule.alpha(grid[0]).item()
    x = level * space.project(x0)
    total = torch.full((len(x0),), len(basis) * log(level), dtype=torch.float64, device=x0.device)
    for t, s in pairwise(grid):
        x, jacobian = _step_with_jacobian(denoiser, space, x, t, s, condition or {}, basis)
        total = total + torch.linalg.slogdet(jacobian.double()).logabsdet
    return total + space.prior_law(x.device).log_prob(x)


@streamed
def log_ratio(
    denoiser: Denoiser,
    x0: Float[Tensor, "batch ..."],
    here: Float[Tensor, " batch"],
    log_p: Callable[[Tensor], Float[Tensor, " some"]],
    keys: Keys,
    steps: int = 20,
    condition: Condition | None = None,
    least: float = 3e-3,
    batch: int = 512,
) -> Stream[Float[Tensor, " batch"]]:
    """log p/q in nats, of a density p and the q that `draw_with_log_prob` draws with, at points that it has not drawn.

    x₀ is walked up to the noise it came from and down again to x ≈ x₀ with its density; the ratio is taken at x, since
    both densities change from x₀ to x, and their ratio hardly does. Where log p is another there, or the noise is not
    that of x₀, it is mended by Newton's steps with the derivative of the map; where that fails, q is the `log_prob` of
    x₀, which is that of another solver.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        x0: clean states.
        here: log p of x₀, nats; it need not be normalised.
        log_p: the same function of other states, (some, ...) → (some,).
        keys: one a state; solvers with fresh noise do not walk here, so that they decide nothing.
        steps: those of the draws, and `least` likewise: it is their density that is asked for.
        condition: what each state is given, name → (batch, ...); a missing name means that nothing is said.
        batch: states that walk together.
    """
    space, condition = whole_flow(denoiser, condition), condition or {}
    walker, grid = Tangents(denoiser, basis_of(space, x0.device)), flow_grid(steps, space, least)
    noise, sigma = _noise_of(denoiser, space, x0, 2 * steps, condition, least), space.schedule.sigma(1.0).item()
    ratio = torch.full((len(x0),), torch.inf, dtype=torch.float64, device=x0.device)
    left = torch.arange(len(x0), device=x0.device)
    for k in range(1 + ROUNDS):
        walk = carried(walker, noise[left], keys[left], grid, take(condition, left), batch)
        found = yield from part(walk, k, 1, 1 + ROUNDS)
        there = log_p(found.x)
        ratio[left] = there - found.log_q
        near = found.displacement(x0[left], walker.basis, space) <= CLOSE * sigma
        near = near & ((there - here[left]).abs() <= SAME)
        noise[left] += found.newton(x0[left], walker.basis, sigma).to(noise)
        left = left[~near]
        if not len(left):
            return ratio
    ratio[left] = here[left] - _log_prob_of_states(
        denoiser, x0[left].to(noise), 2 * steps, take(condition, left), least
    )
    return ratio


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
        steps: of the time grid.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        least: the smallest noise level, in units of the data's standard deviation.
    """
    return _of_field(denoiser, x0, condition, lambda x: _estimated(denoiser, x, keys, steps, condition, least))


def _estimated(
    denoiser: Denoiser, x0: Tensor, keys: Keys, steps: int, condition: Condition | None, least: float
) -> Float[Tensor, " batch"]:
    space = whole_flow(denoiser, condition)
    grid = upward(space, steps, least)[:-1]  # the rest to pure noise is the data's spread against the noise's
    x = space.schedule.alpha(grid[0]).item() * space.project(x0)
    traces = []
    for k, (t, s) in enumerate(pairwise((*grid, grid[-1]))):
        traces.append(_trace(denoiser, space, x, t, keys.fold(k), condition or {}))
        if t != s:
            with torch.no_grad():
                x = Heun()(SamplerState(x, t, space), s, denoiser, condition or {}, keys).x
    return _integrated(space, grid, torch.stack(traces), len(basis_of(space, x.device))) + space.gaussian_law(
        grid[-1], x
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
    if not isinstance(space, Categorical):
        raise InputError(f"the bound is of categories, not of {type(space).__name__}; continuous data have log_prob")
    require_whole("steps", steps, 1)
    certain = Probs(torch.nn.functional.one_hot(x0, space.states).double().log())
    total = torch.zeros(len(x0), dtype=torch.float64, device=x0.device)
    for k, (t, s) in enumerate(pairwise(uniform(steps))):
        x_t = space.noise(x0, t, keys.fold(k))
        truth, model = (space.step(x_t, belief, t, s) for belief in (certain, denoiser(x_t, t, condition)))
        total -= _divergence(truth, model)
    return total


def bits_per_dimension(nats: Float[Tensor, " batch"], x0: Tensor) -> Float[Tensor, " batch"]:
    """−log₂ p a number of the data.

    Args:
        nats: log p(x₀), (batch,).
        x0: clean states, (batch, ...).
    """
    return -nats / (_dimension(x0) * log(2))


def _divergence(p: Choice, q: Choice) -> Tensor:
    """KL(p ‖ q) a sample, summed over the positions that exist; +∞ where q rules out what p does not."""
    gap = (p.log_probs - q.log_probs).nan_to_num(0.0, posinf=torch.inf)  # −∞ and NaN belong to states without weight
    each = (p.log_probs.exp() * gap).sum(-1)
    return per_sample_sum(each if p.mask is None else each.where(p.mask, 0.0))


def _noise_of(
    denoiser: Denoiser, space: Euclidean, x0: Tensor, steps: int, condition: Condition, least: float
) -> Float[Tensor, "batch ..."]:
    """The noise that the flow leads to x₀ from, about, by Heun's method."""
    grid = upward(space, steps, least)
    x = space.schedule.alpha(grid[0]).item() * space.project(x0).to(torch.get_default_dtype())
    keys = Keys.of(0, len(x0), x0.device)
    for t, s in pairwise(grid):
        with torch.no_grad():
            x = Heun()(SamplerState(x, t, space), s, denoiser, condition, keys).x
    return x


def _step_with_jacobian(
    denoiser: Denoiser, space: Euclidean, x: Tensor, t: float, s: float, condition: Condition, basis: Tensor
) -> tuple[Tensor, Tensor]:
    """The state at s and its derivative by the state at t, (batch, r, r)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        moved = Heun()(SamplerState(x, t, space), s, denoiser, condition, Keys.of(0, len(x), x.device)).x
        slopes = slopes_along(moved, x, basis)
    return moved.detach(), rearrange(slopes @ basis.to(slopes).T, "i b j -> b i j")


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


def _dimension(x: Tensor) -> int:
    return x[0].numel()

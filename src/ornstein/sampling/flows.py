"""Draws of the flow that say how likely they were, and the same of points that are given.

The sampler's map from noise to data is deterministic and can be inverted: x₀ = F(z), and

    log q(x₀) = log N(z) − log |det ∂F/∂z|.

A deterministic step is linear in state and belief, so ∂x/∂z walks with x through the same solver, of whatever order:
the belief about a column v of it is (∂x̂/∂x) v, and one determinant is taken at the end. The numbers are those of a
normalised density, whatever the error of the solver.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from einops import einsum, repeat
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Normal
from ..denoisers.base import Condition, Denoiser, Guided
from ..denoisers.composition import within
from ..denoisers.mapped import map_of
from ..errors import InputError
from ..events import Event, Stream, part, streamed
from ..guidance.factors import Factored
from ..keys import Keys
from ..spaces import Euclidean, Space
from ..states import State, Time, take
from ..values import require_whole
from .grids import SOLVER, log_snr
from .sampler import Sampler


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

    Both are of the physical field, where the model has a map. InputError for what is guided by factors, whose updates
    have no derivative, and for mixtures of denoisers.
    """
    x, log_q = yield from states_with_log_prob(denoiser, keys, steps, condition, least, batch)
    map = map_of(denoiser, condition, len(x))
    return (x, log_q) if map is None else (map(x), log_q - map.log_det(x).to(log_q))


def states_with_log_prob(
    denoiser: Denoiser,
    keys: Keys,
    steps: int = 20,
    condition: Condition | None = None,
    least: float = 3e-3,
    batch: int = 512,
) -> Stream[tuple[Float[Tensor, "batch ..."], Float[Tensor, " batch"]]]:
    """The same of the model's own states.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        keys: one a sample.
        steps: of the solver, and `least`, its last noise, in units of the data's spread.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        batch: samples that walk together.
    """
    space = whole_flow(denoiser, condition)
    if denoiser.latent(keys):
        raise InputError("each sample of a mixture has the density of its component alone: draw from one denoiser")
    walker, noise = Tangents(denoiser, basis_of(space, keys.root.device)), space.prior(keys.fold("prior"))
    drawn = yield from carried(walker, noise, keys, flow_grid(steps, space, least), condition or {}, batch)
    return drawn.x, drawn.log_q


def flow_grid(steps: int, space: Space, least: float = 3e-3) -> tuple[float, ...]:
    """The times of a flow with its density: even in log σ/α down to the least noise.

    Args:
        steps: intervals of the time grid.
        space: the kind of data and its noise.
    """
    require_whole("steps", steps, 1)
    return tuple(log_snr(steps, space, least))


@dataclass(frozen=True)
class Carried:
    """Where noise leads: the states, their log q, and the derivative of the map, (batch, r, r)."""

    x: Float[Tensor, "batch ..."]
    log_q: Float[Tensor, " batch"]
    jacobian: Float[Tensor, "batch r r"]

    def newton(self, x0: Tensor, basis: Tensor, most: float = torch.inf) -> Float[Tensor, "batch ..."]:
        """The change of the noise that would lead to x₀, were the map linear; at most so much in any direction."""
        off = einsum((x0.double() - self.x.double()).flatten(1), basis, "b d, r d -> b r")
        solved = torch.linalg.solve_ex(self.jacobian, off[..., None]).result[..., 0]
        return (solved.nan_to_num(torch.inf).clamp(-most, most) @ basis).reshape(x0.shape)

    def displacement(self, x0: Tensor, basis: Tensor, space: Euclidean) -> Float[Tensor, " batch"]:
        """Its root mean square, a degree of freedom, in units of the noise at σ = 1."""
        return space.whiten(self.newton(x0, basis)).flatten(1).square().sum(1).div(len(basis)).sqrt()


def carried(
    walker: "Tangents", noise: Tensor, keys: Keys, grid: Sequence[float], condition: Condition, batch: int
) -> Stream[Carried]:
    """Where the noise leads, in batches."""
    parts, steps = [slice(k, k + batch) for k in range(0, len(noise), batch)], len(grid) - 1
    drawn = []
    for k, chosen in enumerate(parts):
        state = walker.draw(noise[chosen], keys[chosen], grid, take(condition, chosen))
        drawn.append((yield from part(state, k * steps, steps, steps * len(parts))))
    return Carried(*(torch.cat([getattr(one, name) for one in drawn]) for name in ("x", "log_q", "jacobian")))


@dataclass(frozen=True, repr=False)
class Tangents(Guided):
    """A denoiser of states that are followed by their derivatives by the noise they came from, stacked in the batch.

    Attributes:
        basis: B, the directions of those derivatives.
    """

    basis: Float[Tensor, "r d"]

    def draw(self, noise: Tensor, keys: Keys, grid: Sequence[float], condition: Condition) -> Stream[Carried]:
        """Where the noise leads."""
        columns = repeat(self.basis, "r d -> (r b) d", b=len(keys)).reshape(-1, *noise.shape[1:])
        start = torch.cat([noise.double(), columns])
        walks, x = Sampler(grid, (SOLVER,)).steps(self, keys, condition, start), start
        for k in range(len(grid) - 1):
            with torch.no_grad():
                x = next(walks).x
            yield Event(k + 1, len(grid) - 1, "proposing", x[: len(keys)])
        jacobian = einsum(self.basis, self._columns(x, len(keys)), "i d, j b d -> b i j")
        log_q = self.space.prior_law(noise.device).log_prob(noise) - torch.linalg.slogdet(jacobian).logabsdet
        return Carried(x[: len(keys)].to(noise), log_q, jacobian)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        n = len(x_t) // (1 + len(self.basis))
        x = x_t[:n].to(torch.get_default_dtype()).requires_grad_()
        with torch.enable_grad():
            mean = self.denoiser(x, t, condition).mean
            slopes = slopes_along(mean, x, self.basis).double()
        along = einsum(slopes, self._columns(x_t, n), "i b d, j b d -> j b i")
        return Normal(torch.cat([mean.detach().double(), (along @ self.basis).reshape(-1, *x.shape[1:])]))

    def _columns(self, x: Tensor, n: int) -> Float[Tensor, "r batch d"]:
        return x[n:].reshape(len(self.basis), n, -1)


def whole_flow(denoiser: Denoiser, condition: Condition | None) -> Euclidean:
    """The space of a denoiser whose flow has a density; InputError if it has none.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        condition: what the samples are given; a mask among it leaves no whole data.
    """
    space = denoiser.space
    if not isinstance(space, Euclidean) or (condition and "mask" in condition):
        masked = "data under a mask" if isinstance(space, Euclidean) else f"{type(space).__name__} data"
        raise InputError(f"the flow's density is for whole continuous data, not for {masked}")
    if any(isinstance(part, Factored) for part in (denoiser, *within(denoiser))):
        raise InputError("factors' updates have no derivative: take the prior alone, and weigh by the factor")
    return space


def upward(space: Euclidean, steps: int, least: float) -> Sequence[float]:
    """Times from the least noise up to 1."""
    require_whole("steps", steps, 1)
    return log_snr(steps + 1, space, least)[-2::-1]


def slopes_along(y: Tensor, x: Tensor, basis: Float[Tensor, "r d"]) -> Float[Tensor, "r batch d"]:
    """Bᵀ ∂y/∂x: gradients all at once on a GPU, one after the other on a CPU, whose cache they would not fit."""
    rows = repeat(basis.to(y), "r d -> r (b d)", b=len(y)).reshape(-1, *y.shape)
    if y.is_cuda:
        return torch.autograd.grad(y, x, rows, is_grads_batched=True)[0].flatten(2)
    return torch.stack([torch.autograd.grad(y, x, row, retain_graph=True)[0].flatten(1) for row in rows])


def basis_of(space: Euclidean, device: torch.device) -> Float[Tensor, "r d"]:
    """An orthonormal basis of the degrees of freedom, float64."""
    every = torch.eye(prod(space.shape), dtype=torch.float64, device=device)
    projector = space.project(every.reshape(-1, *space.shape)).flatten(1)
    values, axes = torch.linalg.eigh(projector)
    return every if projector.equal(every) else axes[:, values > 0.5].T

"""Fields larger than what a model was trained on: overlapping windows of it, blended in the belief.

With R_w what window w sees of a field and weights that sum to 1 everywhere (tiles.py), E[x₀ | x_t] of the whole is

    x̂ = Σ_w R_wᵀ W_w x̂_w(R_w x_t)

which is exact where the data of a window say all about its middle, and otherwise lacks what lies more than about an
overlap away: correlations that are longer than a window are lost. There is one state and one noise for the whole field,
so that windows never disagree about them (cf. MultiDiffusion, Bar-Tal et al. 2023, and DiffCollage, Zhang et al. 2023).
A window's noise has the law that the model knows: the marginal of the noise of the whole.

The covariance is blended, too, from Tweedie's formula within each window,

    C = Σ_w R_wᵀ √W_w C_w √W_w R_w

symmetric and non-negative as the C_w are, with their weighted mean on the diagonal; the gradient of x̂ itself has W
on one side and is not symmetric. Windows are looked at a few at a time, and where gradients are taken, each group
is looked at again (Chen et al. 2016): memory beside the state does not grow with the size of the field.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief, Normal, Probs
from ..errors import InputError
from ..spaces import Categorical
from ..spectral.borders import Border
from ..spectral.roots import Spectral
from ..states import State, Time, left
from .base import Condition, Denoiser, Traits, carry
from .tiles import Tiling
from .tweedie import with_covariance
from .widening import resized, tiled, widened

Group = Sequence[tuple[int, ...]]


@dataclass(frozen=True, repr=False)
class Windowed(Denoiser):
    """A denoiser of a large field, made of one of windows: see `windowed`.

    Attributes:
        denoiser: of a window.
        tiling: where the windows lie.
        axes: how many the grid has, the last of the event.
        batch: how many windows, over all samples, are looked at together.
        whole: the traits of the large field.
    """

    denoiser: Denoiser
    tiling: Tiling
    axes: int
    batch: int
    whole: Traits

    def __post_init__(self) -> None:
        carry(self, self.whole)

    def having(self, **traits: Any) -> "Windowed":
        """The same windows, and other traits of the large field."""
        return replace(self, whole=replace(self.whole, **traits))

    @property
    def device(self) -> torch.device:
        return self.denoiser.device

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.tiling.shape))
        return f"windowed({self.denoiser!r}, {shape}, {len(self.tiling.windows)} windows)"

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        seen = self._seen(x_t, t, condition or {})
        mean: Any = self.tiling.folded(_Means.apply(self, seen, *seen.tensors, *self._weights))  # pyright: ignore[reportArgumentType]
        if not isinstance(self.space, Categorical):
            return Normal(mean, Blended(self, seen))
        mask = (condition or {}).get("mask")
        return Probs(mean.log(), None if mask is None else left(mask, mean[..., 0]).expand_as(mean[..., 0]))

    def seams(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch axes"]:
        """How rough samples are across the edges of windows: mean squared jumps there over those at all other places.

        Without seams it is 1 on average, for each axis that is cut, where the field is as rough everywhere.

        Args:
            x: samples, in the model's states.

        InputError for samples of another size, or where there is but one window.
        """
        self._require_size(x)
        if not self.tiling.cut:
            raise InputError("seams: the field is one window, which has none")
        ratios = []
        for place in self.tiling.cut:
            rough = (x - x.roll(1, place + 1)).double().square().movedim(place + 1, 1).flatten(2).mean(2)
            at_edge, inside = (mask.to(x.device) for mask in self.tiling.axes[place].jumps)
            ratios.append(rough[:, at_edge].mean(1) / rough[:, inside].mean(1))
        return torch.stack(ratios, 1)

    def covaried(self, seen: "Seen", v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """C v, by the covariances of the windows where they stand.

        Args:
            seen: what the windows are shown.
            v: of the shape of the state.
        """
        spread = self.tiling.unrolled(v)

        def products(seen: Seen, windows: Group) -> list[Tensor]:
            vs = [self.tiling.weighted(self.tiling.taken(spread, window), window, 0.5) for window in windows]
            belief = with_covariance(self.denoiser, *seen.shown(windows))
            assert isinstance(belief, Normal)
            found = belief.spread(torch.cat(vs)).split(len(v))
            return [self.tiling.weighted(one, window, 0.5) for one, window in zip(found, windows, strict=True)]

        return self.tiling.folded(self.summed(seen, products))

    def weighted_means(self, seen: "Seen", windows: Group) -> list[Tensor]:
        """What windows believe, times their weights."""
        means: Any = self.denoiser(*seen.shown(windows)).mean
        parts = means.split(len(seen.x))
        return [self.tiling.weighted(mean, window) for mean, window in zip(parts, windows, strict=True)]

    def summed(self, seen: "Seen", function: Callable[["Seen", Group], list[Tensor]]) -> Tensor:
        """The sum of what a function says of each window, a group at a time, unrolled."""
        total = None
        for windows in self.groups(len(seen.x)):
            for part, window in zip(function(seen, windows), windows, strict=True):
                total = self.tiling.nothing(part) if total is None else total
                self.tiling.taken(total, window).add_(part)
        assert total is not None
        return total

    def groups(self, samples: int) -> Iterator[Group]:
        """Windows that are looked at together."""
        windows, size = self.tiling.windows, max(1, self.batch // max(samples, 1))
        yield from (windows[k : k + size] for k in range(0, len(windows), size))

    @property
    def _weights(self) -> list[Tensor]:
        """Of the network, those that learn."""
        network = getattr(self.denoiser, "network", None)
        return [weight for weight in network.parameters() if weight.requires_grad] if network is not None else []

    def _seen(self, x_t: State, t: Time, condition: Condition) -> "Seen":
        """What windows are shown; InputError where it does not fit the field."""
        self._require_size(x_t)
        assert isinstance(x_t, Tensor)
        for name, value in condition.items():
            if not value.ndim or len(value) != len(x_t):
                raise InputError(f"condition {name!r} has the shape {tuple(value.shape)}, expected {len(x_t)} values")
        for value in (t, condition.get("mask")):
            if isinstance(value, Tensor):
                left(value, x_t)
        own = getattr(self.denoiser, "unconditional", None)
        unheard = self.map.names - own.keys() if self.map and own is not None else frozenset()  # of the map alone
        condition = {name: value for name, value in condition.items() if name not in unheard}
        unroll = self.tiling.unrolled
        cut = {name: unroll(value) for name, value in condition.items() if name == "mask" or self._cut(name, value)}
        same = {name: value for name, value in condition.items() if name not in cut}
        if isinstance(t, Tensor) and t.ndim:
            t = unroll(t.expand(len(x_t), *t.shape[1:]))
        return Seen(self.tiling, unroll(x_t), t, cut, same)

    def _require_size(self, x: State) -> None:
        if not isinstance(x, Tensor) or tuple(x.shape[1:]) != self.tiling.shape:
            found = tuple(x.shape) if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise InputError(f"windowed: the state has the shape {found}, expected (batch, *{self.tiling.shape})")

    def _cut(self, name: str, value: Tensor) -> bool:
        """Whether a condition is a field, of which each window sees its part; InputError for one of another size."""
        whole, own = self.tiling.shape, self.tiling.window
        like, grid = getattr(self.denoiser, "unconditional", {}).get(name), tuple(value.shape[-self.axes :])
        everywhere = (1,) * self.axes
        a_field = like is None or (
            like.ndim == len(whole) and tuple(like.shape[-self.axes :]) in (everywhere, own[-self.axes :])
        )
        if value.ndim != 1 + len(whole) or not a_field or grid == everywhere:
            return False
        if grid != whole[-self.axes :]:
            expected = ", ".join(map(str, whole[-self.axes :]))
            raise InputError(
                f"condition {name!r} has the shape {tuple(value.shape)}, expected (batch, channels, {expected}), as "
                "the large field has"
            )
        return True


@dataclass(frozen=True, eq=False)
class Seen:
    """What the windows are shown, unrolled where they go over the end of an axis.

    Attributes:
        tiling: where they lie.
        x: the state, (batch, ...).
        t: time, 0 = data, 1 = noise: a number, (batch,), or (batch, positions), unrolled.
        cut: conditions of which each window sees its part.
        same: those that are the same for all windows.
    """

    tiling: Tiling
    x: Tensor
    t: Time
    cut: Condition
    same: Condition

    @property
    def tensors(self) -> list[Tensor]:
        """All that gradients may be asked of: the state first."""
        return [self.x, *([self.t] if isinstance(self.t, Tensor) else []), *self.cut.values(), *self.same.values()]

    def replaced(self, tensors: Sequence[Tensor]) -> "Seen":
        """With other `tensors`, in the same order."""
        x, *others = tensors
        t = others.pop(0) if isinstance(self.t, Tensor) else self.t
        cut, same = others[: len(self.cut)], others[len(self.cut) :]
        return replace(
            self, x=x, t=t, cut=dict(zip(self.cut, cut, strict=True)), same=dict(zip(self.same, same, strict=True))
        )

    def shown(self, windows: Group) -> tuple[Tensor, Time, dict[str, Tensor]]:
        """State, time and conditions of some windows, all samples of the first one first."""

        def taken(value: Tensor) -> Tensor:
            return torch.cat([self.tiling.taken(value, window) for window in windows])

        t = taken(self.t) if isinstance(self.t, Tensor) and self.t.ndim else self.t
        same = {name: torch.cat([value] * len(windows)) for name, value in self.same.items()}
        return taken(self.x), t, {**same, **{name: taken(value) for name, value in self.cut.items()}}


class _Means(torch.autograd.Function):
    """Σ_w R_wᵀ W_w x̂_w, of which nothing but its arguments is kept: a gradient looks at each group again."""

    @staticmethod
    def forward(ctx: Any, windowed: Windowed, seen: Seen, *tensors: Tensor) -> Tensor:
        ctx.windowed, ctx.seen, ctx.weights = windowed, seen, tensors[len(seen.tensors) :]
        ctx.save_for_backward(*tensors[: len(seen.tensors)])
        return windowed.summed(seen, windowed.weighted_means)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (v,), windowed, again = grad_outputs, ctx.windowed, torch.is_grad_enabled()
        tensors, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        if not again:
            tensors = [one.detach().requires_grad_(one.requires_grad) for one in tensors]
        seen = ctx.seen.replaced(tensors)
        asked = [place for place, need in enumerate(needed) if need]
        inputs = [[*tensors, *ctx.weights][place] for place in asked]
        total: list[Any] = [None] * len(needed)
        for windows in windowed.groups(len(seen.x)):
            with torch.enable_grad():
                means = windowed.weighted_means(seen, windows)
            vs = [windowed.tiling.taken(v, window) for window in windows]
            found = torch.autograd.grad(means, inputs, vs, create_graph=again, allow_unused=True)
            for place, one in zip(asked, found, strict=True):
                total[place] = one if total[place] is None else total[place] if one is None else total[place] + one
        return None, None, *total


@dataclass(frozen=True)
class Blended:
    """Σ_w R_wᵀ √W_w C_w √W_w R_w: the covariance of a belief by windows, each of which is looked at again."""

    windowed: Windowed
    seen: Seen

    def __call__(self, v: Tensor) -> Tensor:
        return self.windowed.covaried(self.seen, v)


def windowed(
    denoiser: Denoiser,
    shape: Sequence[int],
    window: Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    borders: Sequence[Border] | None = None,
    batch: int = 8,
    data_std: float | Tensor | Spectral | None = None,
    noise_cov: Spectral | None = None,
) -> Windowed:
    """The model of windows as a denoiser of a larger field: it is guided, mapped and drawn from as any other.

    Conditions that are fields are as large as the field and cut with it, NaN where they are missing; others are the
    same for all windows. What a model knows of places (coordinates, orography) must be such conditions.

    Args:
        denoiser: of a window, (x_t, t, condition) → belief about real numbers, or about categories.
        shape: of the large field, as the model's (channels, *grid), and at least as large on every axis.
        window: lengths of the grid's axes in a window; the model's own if not given. Other lengths are for networks of
            fields, which take any.
        overlap: of neighbouring windows, in elements, at least; a number, or one an axis of the grid. A quarter of the
            window if not given. Take it as long as the correlation length of the data: cost grows by
            window/(window − overlap) an axis.
        borders: of each axis of the grid, "periodic" (windows go over the end) or "zero", "reflect" or "symmetric"
            (they end with the field, and see nothing of what lies beyond); "zero" if not given.
        batch: how many windows, over all samples, are looked at together; memory grows with it.
        data_std: of the large field; needed where the model's is a spectrum, or differs within a window.
        noise_cov: of the large field, where the model's noise is coloured along axes that are cut: it must be
            stationary and have the model's as its marginal on a window.

    InputError for shapes that do not fit, for a model that is guided already (guide the large one), for one that is not
    of fields or that is told of places by itself, and for noise of which a window sees another than the model knows.
    """
    tiling, axes = tiled(denoiser, shape, window, overlap, borders)
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise InputError(f"windowed: batch is {batch!r}, expected a whole number from 1")
    one = resized(denoiser, tiling.window)
    return Windowed(one, tiling, axes, batch, widened(one, tiling, data_std, noise_cov))

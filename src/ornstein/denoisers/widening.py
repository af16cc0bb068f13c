"""Whether a model of windows can stand for a larger field, and the space of that field."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..keys import Keys
from ..networks.fields import Fields
from ..spaces import Categorical, Centered, Euclidean
from ..spectral.borders import BORDERS, Border
from ..spectral.roots import Spectral
from ..spectral.transforms import Separable
from .base import Denoiser, NeuralDenoiser, Origin, Traits
from .tiles import Tiles, Tiling

_TOLERANCE = 1e-5


def fields_of(denoiser: Denoiser) -> Fields | None:
    """What the model's network is told, if it is one of fields."""
    fields = getattr(getattr(denoiser, "network", None), "fields", None)
    return fields if isinstance(fields, Fields) else None


def require_of_fields(denoiser: Denoiser) -> Euclidean | Categorical:
    """The space of a model's windows; InputError if they are not of fields, or if it is guided already."""
    if not isinstance(denoiser, Denoiser):
        raise InputError(f"windowed: expected a model (a Denoiser), found a {type(denoiser).__name__}")
    space = denoiser.space
    if not isinstance(space, Euclidean | Categorical) or isinstance(space, Centered):
        raise InputError(
            f"windowed: a model of {type(space).__name__} states has no windows; expected one of fields (Euclidean) or "
            "of categories on a grid (Categorical)"
        )
    if denoiser.provenance:
        raise InputError(
            f"{denoiser!r} is guided already, which is said of a window: guide the large field, "
            "windowed(model, shape) & guide"
        )
    return space


def tiled(
    denoiser: Denoiser,
    shape: Sequence[int],
    window: Sequence[int] | None,
    overlap: int | Sequence[int] | None,
    borders: Sequence[Border] | None,
) -> tuple[Tiling, int]:
    """The windows that cover a field of this shape, and how many axes its grid has; see `windowed`."""
    own, fields = require_of_fields(denoiser).shape, fields_of(denoiser)
    shape = _lengths("shape", shape)
    if len(shape) != len(own):
        raise InputError(f"windowed: shape is {shape}, expected {len(own)} axes, as the model's {own}")
    borders = _borders(borders, shape, fields)
    axes = len(borders)
    window = _window(own, window, axes, fields)
    wrong = [place for place in range(len(shape)) if shape[place] < window[place]]
    wrong += [place for place in range(len(shape) - axes) if shape[place] != window[place]]
    if wrong:
        place = wrong[0]
        expected = f"at least {window[place]}, a window" if place >= len(shape) - axes else f"{window[place]} channels"
        raise InputError(f"windowed: shape is {shape}, {shape[place]} on axis {place}; expected {expected}")
    tiling = Tiling(_tiles(shape, window, _overlaps(overlap, window[-axes:]), borders, fields))
    _require_no_places(tiling, axes, fields)
    return tiling, axes


def resized(denoiser: Denoiser, window: tuple[int, ...]) -> Denoiser:
    """The model for windows of this shape."""
    if denoiser.space.shape == window:  # pyright: ignore[reportAttributeAccessIssue]
        return denoiser
    assert isinstance(denoiser, NeuralDenoiser)
    return denoiser.having(space=replace(denoiser.space, shape=window))  # pyright: ignore[reportCallIssue, reportArgumentType]


def widened(
    denoiser: Denoiser, tiling: Tiling, data_std: float | Tensor | Spectral | None, noise_cov: Spectral | None
) -> Traits:
    """The traits of the large field, from those of the model of its windows.

    Args:
        denoiser: of a window.
        tiling: where the windows lie.
        data_std: of the large field, where the model's does not say it.
        noise_cov: of the large field, likewise.
    """
    traits, space = denoiser.traits, denoiser.space
    if isinstance(space, Euclidean):
        data = _data_std(space.data_std, tiling) if data_std is None else data_std
        noise = _noise_cov(space.noise_cov, tiling) if noise_cov is None else noise_cov
        space = replace(space, shape=tiling.shape, data_std=data, noise_cov=noise, mask=None, element_weights=None)
        if noise_cov is not None:
            _require_marginal(noise_cov, denoiser.space.noise_cov, tiling)  # pyright: ignore[reportAttributeAccessIssue]
    else:
        assert isinstance(space, Categorical)
        for name, value in {"data_std": data_std, "noise_cov": noise_cov}.items():
            if value is not None:
                raise InputError(f"windowed: {name} is of real numbers, this model is of categories")
        space = replace(space, shape=tiling.shape, mask=None)
    if traits.map is not None:
        traits.map.require_fit(space)
    origin = None if traits.origin is None else _recorded(traits.origin, tiling)
    return replace(traits, space=space, origin=origin, calls=traits.calls * len(tiling.windows))


def _recorded(origin: Origin, tiling: Tiling) -> Origin:
    """Where the model comes from, and how windows of it lie, for manifests."""
    axes = [
        {"length": axis.length, "window": axis.window, "overlap": axis.overlap, "periodic": axis.wraps}
        for axis in tiling.axes
    ]
    return replace(origin, metadata={**origin.metadata, "windows": axes})


# Arguments --------------------------------------------------------------------------------------------


def _lengths(name: str, values: Sequence[int]) -> tuple[int, ...]:
    lengths = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else None
    if lengths is None or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in lengths):
        raise InputError(f"windowed: {name} is {values!r}, expected whole numbers from 1, one an axis")
    return lengths


def _borders(borders: Sequence[Border] | None, shape: tuple[int, ...], fields: Fields | None) -> tuple[Border, ...]:
    """The rule of each axis of the grid."""
    axes = fields.axes if fields else None
    if borders is None:
        return ("zero",) * (axes or max(1, len(shape) - 1))
    expected = f"{axes or f'1 to {len(shape)}'} of the words {', '.join(BORDERS)}, one an axis of the grid"
    fits = not isinstance(borders, str) and 1 <= len(borders) <= len(shape) and axes in (None, len(borders))
    if not fits or not set(borders) <= set(BORDERS):
        raise InputError(f"windowed: borders are {borders!r}, expected {expected}")
    return tuple(borders)


def _window(own: tuple[int, ...], window: Sequence[int] | None, axes: int, fields: Fields | None) -> tuple[int, ...]:
    """The shape of a window, channels included."""
    if window is None:
        return own
    lengths = _lengths("window", window)
    if len(lengths) != axes:
        raise InputError(f"windowed: window is {lengths}, expected {axes} lengths, one an axis of the grid")
    sizes = (*own[:-axes], *lengths)
    if sizes != own and fields is None:
        raise InputError(
            f"windowed: window is {lengths}, but the model is of {own[-axes:]}; only networks of fields (Fields) take "
            "any size"
        )
    return sizes


def _overlaps(overlap: int | Sequence[int] | None, window: tuple[int, ...]) -> tuple[int, ...]:
    """By how much the windows overlap on each axis of the grid."""
    if overlap is None:
        return tuple(n // 4 for n in window)
    overlaps = (overlap,) * len(window) if isinstance(overlap, int) and not isinstance(overlap, bool) else overlap
    expected = f"a number from 0 to {min(window) - 1}, less than a window, or one an axis of the grid"
    if not isinstance(overlaps, Sequence) or len(overlaps) != len(window):
        raise InputError(f"windowed: overlap is {overlap!r}, expected {expected}")
    for place, (value, n) in enumerate(zip(overlaps, window, strict=True)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < n:
            raise InputError(
                f"windowed: overlap is {overlap!r}, {value!r} on axis {place} of the grid; expected a whole number "
                f"from 0 to {n - 1}, less than a window"
            )
    return tuple(overlaps)


def _tiles(
    shape: tuple[int, ...],
    window: tuple[int, ...],
    overlaps: tuple[int, ...],
    borders: tuple[Border, ...],
    fields: Fields | None,
) -> tuple[Tiles, ...]:
    """The windows along each axis: one along channels, and along what the model knows to be a whole circle."""
    axes, closed = len(borders), fields.borders if fields else ("zero",) * len(borders)
    tiles = [Tiles(n, n, 0) for n in shape[:-axes]]
    for n, w, overlap, border, own in zip(shape[-axes:], window[-axes:], overlaps, borders, closed, strict=True):
        whole = n == w and (border != "periodic" or own == "periodic" or not overlap)
        tiles.append(Tiles(n, w, 0 if whole else overlap, border == "periodic" and not whole))
    return tuple(tiles)


def _require_no_places(tiling: Tiling, axes: int, fields: Fields | None) -> None:
    """InputError for a network that is told places, in every window the same, or that closes windows to circles."""
    if fields is None or not tiling.cut:
        return
    hint = ": give them as a condition, of which each window sees its part, Fields(conditions={name: channels})"
    if fields.static is not None:
        raise InputError("windowed: the network's static fields are those of one window" + hint)
    if fields.coordinates:
        raise InputError("windowed: the network's coordinates are those within a window" + hint)
    closed = [place for place in tiling.cut if fields.borders[place - len(tiling.axes) + axes] == "periodic"]
    if closed:
        raise InputError(
            f"windowed: the network's border of axis {closed[0]} is periodic, which a window of that axis is not; "
            "train it with borders of another kind"
        )


# Space ------------------------------------------------------------------------------------------------


def _data_std(value: float | Tensor | Spectral, tiling: Tiling) -> float | Tensor | Spectral:
    if not isinstance(value, Tensor | Spectral):
        return value
    wide = _spread(value.variance, tiling) if isinstance(value, Spectral) else _spread(value[None], tiling)
    if wide is None or (isinstance(value, Spectral) and not _by_element(value, tiling)):
        raise InputError(
            "windowed: the model's data_std has a spectrum, or differs from place to place of a window, and so does "
            "not say that of a larger field: give data_std=, a number or a spectrum over the large field"
        )
    return Spectral(value.basis, wide) if isinstance(value, Spectral) else wide[0]


def _noise_cov(value: Spectral | None, tiling: Tiling) -> Spectral | None:
    if value is None:
        return None
    wide = _spread(value.variance, tiling)
    if wide is None or not _by_element(value, tiling):
        raise InputError(
            f"windowed: the model's noise is diagonal in {value.basis} over a window, which no noise of a larger field "
            "is; train the model of windows with white noise, or give noise_cov= of the large field, whose marginal on "
            "a window is the model's"
        )
    return Spectral(value.basis, wide)


def _spread(variance: Float[Tensor, "1 ..."], tiling: Tiling) -> Tensor | None:
    """What is the same all over a window, all over the field; None where it is not the same."""
    whole = variance.expand(1, *tiling.window)
    for place in tiling.cut:
        first = whole.narrow(place + 1, 0, 1)
        if not torch.allclose(whole, first.expand_as(whole)):
            return None
        whole = first
    return whole.expand(1, *tiling.shape)


def _by_element(cov: Spectral, tiling: Tiling) -> bool:
    """Whether it is diagonal in the elements themselves along the axes that are cut."""
    if not isinstance(cov.basis, Separable):
        return not tiling.cut
    words = ("pixels",) * (len(tiling.axes) - len(cov.basis.axes)) + cov.basis.axes
    return all(words[place] == "pixels" for place in tiling.cut)


def _require_marginal(noise: Spectral, own: Spectral | None, tiling: Tiling) -> None:
    """InputError unless each window sees the noise that the model knows: both are compared on random fields."""
    v = Keys.of(0, 1).fold("field").normal(*tiling.shape).double()
    spread = noise(v)
    for place in tiling.cut:
        moved = noise(v.roll(1, place + 1)).roll(-1, place + 1)
        if float((moved - spread).norm() / spread.norm()) > _TOLERANCE:
            raise InputError(
                f"windowed: noise_cov, {noise}, is not the same for all windows along axis {place}: expected noise "
                "that is stationary there"
            )
    u, field = Keys.of(0, 1).fold("window").normal(*tiling.window).double(), torch.zeros_like(v)
    corner = (slice(None), *(slice(n) for n in tiling.window))
    field[corner] = u
    seen = noise(field)[corner]
    known = u if own is None else own(u)
    off = float((seen - known).norm() / known.norm())
    if off > _TOLERANCE:
        raise InputError(
            f"windowed: a window of the noise noise_cov, {noise}, has another covariance than the noise of the model, "
            f"{own or 'white'}: they differ by {off:.1%} on a random field"
        )

"""What receiver coils measure of an image, and its adjoint (SENSE: Pruessmann et al. 1999; 2001).

    y_c = M F (s_c x),        Aᴴ y = Σ_c s̄_c Fᴴ Mᵀ y_c

with x the complex image, s_c the map of coil c, F the orthonormal Fourier transform, centred in both domains, and M the
choice of what was measured. Where the mask is of whole lines, a transform along these lines is a unitary change of y
that leaves white noise white: there y is in hybrid space, measured lines × image, and one transform of two is saved.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float, Inexact, Int64
from torch import Tensor

from ...errors import InputError
from ...guidance.operators import Operator
from ...guidance.operators.base import matched, misfit, once, require_axes, require_real, require_samples
from ...values import as_field, as_mask
from .trajectories.masks import whole_lines


@dataclass(frozen=True, eq=False)
class Sense(Operator):
    """x (batch, 2, h, w), real and imaginary part → what coils measure of it, complex.

    Attributes:
        maps: (coils, h, w), or (batch, coils, h, w) for maps of each sample's own; phase and scale of the images
            are a part of them.
        mask: (h, w), or (batch, h, w); true where k-space, centred, was measured.
        axis: along which the measured lines are counted, where the mask is of whole lines: 0, y is (batch, coils,
            lines, w), or 1, y is (batch, coils, h, lines); None, y is (batch, coils, measured), in the order of
            torch.flatten.
        count: of the lines, or numbers, that y has for each coil: those of the fullest mask. The places that a sample
            with fewer has too many are last and 0.
    """

    maps: Any
    mask: Any
    axis: int | None = field(default=None, init=False)
    count: int = field(default=0, init=False)
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        maps, mask = as_field(self.maps, "Sense: maps"), as_mask(self.mask, "Sense: mask")
        maps = maps[None] if maps.ndim == 3 else maps
        mask = mask[None] if mask.ndim == 2 else mask
        _require_parts(maps, mask)
        axis = whole_lines(mask)
        lines = mask.flatten(1) if axis is None else mask.any(2 - axis)
        for name, value in (("maps", maps), ("mask", mask), ("axis", axis), ("count", int(lines.sum(1).max()))):
            object.__setattr__(self, name, value)

    def __call__(self, x: Inexact[Tensor, "batch ..."]) -> Complex[Tensor, "batch ..."]:
        return self._each("Sense", lambda one, x: one._selected(one._waves(x)), x)

    def adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Float[Tensor, "batch 2 h w"]:
        expected = (self.maps.shape[1], *self._event)
        if tuple(y.shape[1:]) != expected:
            raise misfit("the adjoint of Sense", y, str(expected))
        y = y if y.is_complex() else torch.complex(y, torch.zeros_like(y))
        return self._each("the adjoint of Sense", lambda one, y: one._combined(one._placed(y)), y.resolve_conj())

    def normal(self, x: Float[Tensor, "batch 2 h w"]) -> Float[Tensor, "batch 2 h w"]:
        """Aᴴ A x, without the choice and its adjoint.

        Args:
            x: as for the operator.
        """

        def there_and_back(one: "Sense", x: Tensor) -> Tensor:
            waves = one._waves(x)
            return one._combined(waves.mul_(one._mask(waves)))

        return self._each("Sense", there_and_back, x)

    def measured(self, kspace: Complex[Tensor, "*batch coils h w"]) -> Complex[Tensor, "..."]:
        """Full k-space, of which only what was measured is read, as the y of this operator; NaN at places too many.

        Args:
            kspace: centred, of one slice or of each sample's.
        """
        slices = kspace if kspace.ndim == 4 else kspace[None]
        require_axes("Sense.measured", slices, tuple(self.maps.shape[1:]))
        require_samples("Sense.measured", len(self.mask), slices)
        waves = torch.fft.ifftshift(slices, self._axes)
        if self.axis is not None:
            along = -1 - self.axis
            waves = torch.fft.ifftshift(waves, along)
            waves = torch.fft.fftshift(torch.fft.ifft(waves, dim=along, norm="ortho"), along)
        y = self._selected(waves, torch.nan)
        return y if kspace.ndim == 4 else y[0]

    @property
    def samples(self) -> int | None:
        number = max(len(self.maps), len(self.mask))
        return number if number > 1 else None

    def _taken(self, index: Any) -> "Sense":
        """With y laid out as for all samples, which some of them alone might not need."""
        taken = Sense(*(part if len(part) == 1 else part[index] for part in (self.maps, self.mask)))
        object.__setattr__(taken, "axis", self.axis)
        object.__setattr__(taken, "count", self.count)
        return taken

    def _each(self, who: str, act: Callable[["Sense", Tensor], Tensor], x: Tensor) -> Tensor:
        """Sample by sample on a CPU, whose caches hold the fields of all coils for one, but not for several."""
        require_samples(who, self.samples, x)
        if len(x) < 2 or x.device.type != "cpu":
            return act(self, x)
        return torch.cat([act(self._alone(i), x[i : i + 1]) for i in range(len(x))])

    def _alone(self, i: int) -> "Sense":
        """That of one sample."""
        if self.samples is None:
            return self
        return once(self._kept, ("alone", i), lambda: self._taken(slice(i, i + 1)), self.maps)

    # The way there, and back ----------------------------------------------------------------------------

    @property
    def _axes(self) -> tuple[int, ...]:
        """The axes that are transformed."""
        return (-2, -1) if self.axis is None else (self.axis - 2,)

    @property
    def _event(self) -> tuple[int, ...]:
        """The shape of what one coil measures."""
        h, w = self.mask.shape[1:]
        return {None: (self.count,), 0: (self.count, w), 1: (h, self.count)}[self.axis]

    def _waves(self, x: Tensor) -> Tensor:
        """What the coils see, transformed, the origin first along the axes transformed."""
        require_real("Sense", x, "real and imaginary parts, (batch, 2, h, w)")
        require_axes("Sense", x, (2, *self.mask.shape[1:]))
        if x.ndim != 4:
            raise misfit("Sense", x, f"(2, {', '.join(map(str, self.mask.shape[1:]))})")
        image = torch.fft.ifftshift(torch.complex(x[:, 0], x[:, 1]), self._axes)
        return torch.fft.fftn(self._maps(image) * image[:, None], dim=self._axes, norm="ortho")

    def _combined(self, waves: Tensor) -> Tensor:
        """The adjoint of `_waves`."""
        fields = torch.fft.ifftn(waves, dim=self._axes, norm="ortho")
        image = torch.fft.fftshift(fields.mul_(self._maps(fields, conjugate=True)).sum(1), self._axes)
        return torch.stack([image.real, image.imag], 1)

    def _selected(self, waves: Tensor, missing: float = 0.0) -> Tensor:
        """What was measured of the transformed fields."""
        index, there = self._index(waves)
        flat, along = (waves.flatten(-2), -1) if self.axis is None else (waves, self.axis - 2)
        if len(index) == 1:
            y = flat.index_select(along, index[0])
        else:
            y = flat.gather(along, self._everywhere(index, flat).expand(len(flat), *self.maps.shape[1:2], *self._event))
        return y if there is None else y.masked_fill(~self._everywhere(there, y), missing)

    def _placed(self, y: Tensor) -> Tensor:
        """The adjoint of `_selected`."""
        index, there = self._index(y)
        h, w = self.mask.shape[1:]
        flat, along = ((h * w,), -1) if self.axis is None else ((h, w), self.axis - 2)
        waves = y.new_zeros(*y.shape[:2], *flat)
        y = y if there is None else y.masked_fill(~self._everywhere(there, y), 0.0)
        if len(index) == 1:
            waves.index_copy_(along, index[0], y)
        else:
            waves.scatter_add_(along, self._everywhere(index, y).expand_as(y), y)
        return waves.unflatten(-1, (h, w)) if self.axis is None else waves

    # What is kept for each device and precision ---------------------------------------------------------

    def _maps(self, like: Tensor, conjugate: bool = False) -> Tensor:
        """The maps, the origin first along the axes transformed."""

        def make() -> Tensor:
            maps = torch.fft.ifftshift(matched(self.maps, like), self._axes)
            return maps.conj().resolve_conj() if conjugate else maps

        return once(self._kept, (like.device, like.dtype, conjugate), make, self.maps)

    def _mask(self, like: Tensor) -> Tensor:
        """1 where it was measured, to multiply transformed fields by."""

        def make() -> Tensor:
            mask = self.mask if self.axis is None else self.mask.any(2 - self.axis, keepdim=True)
            return torch.fft.ifftshift(mask, self._axes)[:, None].to(like.device, like.dtype.to_real())

        return once(self._kept, ("mask", like.device, like.dtype), make)

    def _index(self, like: Tensor) -> tuple[Int64[Tensor, "#batch count"], Bool[Tensor, "#batch count"] | None]:
        """Where the transformed fields hold what was measured; and which of these places count, if not all do."""

        def make() -> Tensor:
            h, w = self.mask.shape[1:]
            places = torch.arange(h * w).reshape(h, w) if self.axis is None else torch.arange((h, w)[self.axis])
            places = torch.fft.fftshift(places).flatten()  # of each place with the origin in the middle
            seen = self.mask.flatten(1) if self.axis is None else self.mask.any(2 - self.axis)
            order = seen.int().argsort(dim=1, descending=True, stable=True)[:, : self.count]
            return torch.stack([places[order], seen.gather(1, order).long()]).to(like.device)

        index, there = once(self._kept, ("index", like.device), make)
        return index, (None if bool(there.all()) else there.bool())

    def _everywhere(self, numbers: Tensor, like: Tensor) -> Tensor:
        """One a place measured, aligned with what is of each coil and place."""
        aligned = numbers[:, None]
        return {None: aligned, 0: aligned[..., None], 1: aligned[:, :, None]}[self.axis]


def _require_parts(maps: Tensor, mask: Tensor) -> None:
    """InputError unless maps and mask are of the same slices."""
    if maps.ndim != 4 or not maps.numel():
        raise InputError(
            f"Sense: maps has the shape {tuple(maps.shape)}, expected (coils, h, w) or (batch, coils, h, w)"
        )
    if mask.ndim != 3 or mask.shape[1:] != maps.shape[2:]:
        raise InputError(
            f"Sense: mask has the shape {tuple(mask.shape)}, expected that of the maps, {tuple(maps.shape[2:])}"
        )
    if len(mask) != len(maps) and 1 not in (len(mask), len(maps)):
        raise InputError(
            f"Sense: maps of {len(maps)} samples and masks of {len(mask)}, expected as many, or one for all"
        )
    if (empty := (~mask.flatten(1).any(1)).nonzero()).numel():
        raise InputError(f"Sense: mask {int(empty[0])} is false everywhere: nothing was measured")

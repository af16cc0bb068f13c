"""K-space off the grid, radial or spiral: an operator around mri-nufft (Comby et al. 2024), which is optional.

    y_c(k) = (h w)^{−1/2} Σ_r s_c(r) x(r) exp(−2πi k·r),        r the pixels from the middle, k in cycles a pixel

so that places of the grid have the values that `Sense` gives them. mri-nufft computes on the CPU, in single precision
to about six digits. Densities of the places are no part of the operator: a likelihood weighs by the noise alone. They
only make a first picture, `gridded`.
"""

import warnings
from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ....errors import InputError, needed_for
from ....guidance.operators import Operator
from ....guidance.operators.base import misfit, require_axes, require_real
from ....values import as_field, as_places


@dataclass(frozen=True, eq=False)
class NonCartesian(Operator):
    """x (batch, 2, h, w), real and imaginary part → what coils measure of it at places of k-space, complex.

    Attributes:
        maps: (coils, h, w); phase and brightness of the image are a part of them.
        places: (samples, 2), of k-space, along rows and columns, in cycles a pixel, −½ to ½.
    """

    maps: Any
    places: Any
    _transform: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        maps, places = as_field(self.maps, "NonCartesian: maps"), as_places(self.places, "NonCartesian: places")
        if maps.ndim != 3:
            raise InputError(f"NonCartesian: maps has the shape {tuple(maps.shape)}, expected (coils, h, w)")
        if places.ndim != 2 or places.shape[1] != 2 or not len(places):
            raise InputError(f"NonCartesian: places has the shape {tuple(places.shape)}, expected (samples, 2)")
        if float(places.abs().max()) > 0.5 + 1e-6:
            found = f"{float(places.abs().max()):g}"
            raise InputError(f"NonCartesian: places reach to {found}, expected cycles a pixel, from −0.5 to 0.5")
        with needed_for("k-space off the grid", "nufft"):
            import mrinufft  # pyright: ignore[reportMissingImports]
        with warnings.catch_warnings():  # it says that it takes them for cycles a pixel, which they are
            warnings.simplefilter("ignore", UserWarning)
            made = mrinufft.get_operator("finufft")(
                samples=places.numpy().astype(np.float32),
                shape=tuple(maps.shape[1:]),
                n_coils=len(maps),
                density=False,
                squeeze_dims=False,
            )
        for name, value in (("maps", maps), ("places", places), ("_transform", made)):
            object.__setattr__(self, name, value)

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Complex[Tensor, "batch coils samples"]:
        require_real("NonCartesian", x, "real and imaginary parts, (batch, 2, h, w)")
        require_axes("NonCartesian", x, (2, *self.maps.shape[1:]))
        fields = torch.complex(x[:, 0], x[:, 1])[:, None] * self.maps.to(torch.complex64)
        return self._each(self._transform.op, fields).to(_complex(x))

    def adjoint(self, y: Complex[Tensor, "batch ..."]) -> Float[Tensor, "batch 2 h w"]:
        if tuple(y.shape[1:]) != (len(self.maps), len(self.places)):
            raise misfit("the adjoint of NonCartesian", y, f"({len(self.maps)}, {len(self.places)})")
        fields = self._each(self._transform.adj_op, y)
        image = (fields * self.maps.to(torch.complex64).conj()).sum(1).to(y.dtype)
        return torch.stack([image.real, image.imag], 1)

    def gridded(self, y: Complex[Tensor, "batch coils samples"]) -> Float[Tensor, "batch 2 h w"]:
        """A first picture: the adjoint, samples weighted by the area about them (Rasche et al. 1999), scaled to fit.

        Args:
            y: as measured.
        """
        from mrinufft.density import voronoi  # pyright: ignore[reportMissingImports]

        areas = torch.as_tensor(np.asarray(voronoi(self.places.numpy().astype(np.float32))).ravel()).to(y.device)
        picture = self.adjoint(y * areas.float())
        fit = self(picture)
        along, length = ((fit.conj() * part * areas).real.sum((1, 2)) for part in (y, fit))
        return picture * (along / length.clamp(min=1e-30))[:, None, None, None].to(picture)

    def _each(self, transform: Any, fields: Tensor) -> Tensor:
        """A transform of NumPy's, of each sample of a batch."""
        several = fields.detach().to("cpu", torch.complex64).contiguous().numpy()
        norm = self._transform.norm_factor / sqrt(self.maps[0].numel())  # which makes it orthonormal on the grid
        made = [norm * np.asarray(transform(one[None])).reshape(len(self.maps), -1) for one in several]
        shape = self.maps.shape[1:] if fields.ndim == 3 else (len(self.places),)
        return torch.from_numpy(np.stack(made).astype(np.complex64)).unflatten(2, shape).to(fields.device)


def _complex(x: Tensor) -> torch.dtype:
    return torch.complex128 if x.dtype == torch.float64 else torch.complex64


def spokes(number: int, samples: int, angle: float = 0.0) -> Float[Tensor, "places 2"]:
    """A radial trajectory: spokes through the middle, a golden angle apart.

    Args:
        number: of spokes.
        samples: of each.
        angle: of the first, in radian.
    """
    angles = angle + pi * (sqrt(5) - 1) / 2 * torch.arange(number, dtype=torch.float64)
    along = (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return torch.stack([angles.sin()[:, None] * along, angles.cos()[:, None] * along], -1).flatten(0, 1)

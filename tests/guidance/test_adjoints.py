"""Every operator passes the check of its adjoint, of real and complex fields; twins with one part wrong do not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ornstein.guidance.operators import (
    Blur,
    Centered,
    Complex,
    Convolution,
    Crop,
    Divergence,
    Downsample,
    Fourier,
    Gradient,
    Interpolation,
    Laplacian,
    LinearFunction,
    Mask,
    Matrix,
    Multiply,
    Operator,
    Pad,
    Radon,
    RealFourier,
    Upsample,
    linear,
    real_parts,
    stack,
)
from ornstein.guidance.operators.derivatives import STENCILS
from ornstein.keys import Keys
from ornstein.spectral.borders import BORDERS, folded
from ornstein.testing import check_operator

SHAPE = (4, 6)
KEYS = Keys.of(1, 3)
SEEN = Keys.of(2, 1).uniform(*SHAPE)[0] < 0.4
EACH = torch.stack([SEEN, SEEN.roll(1, 0), SEEN.roll(2, 1)])
KERNEL = Keys.of(3, 3).normal(5)
ROWS = Keys.of(4, 5).normal(24)
POINTS = Keys.of(5, 7).uniform(2) * torch.tensor([3.0, 5.0])


def waves(*shape: int, seed: int = 6) -> Tensor:
    return torch.view_as_complex(Keys.of(seed, shape[0]).normal(*shape[1:], 2))


MAPS = waves(5, *SHAPE)
SENSE = Mask(SEEN, last=True) @ Fourier(complex=True) @ Multiply(MAPS, new_axis=True)

FAMILIES: dict[str, Operator] = {
    "blur": Blur(KERNEL),
    "centered": Centered(torch.tensor([True, False, True, True])),
    "composition": Matrix(ROWS[:, :6], (2, 3)) @ Downsample(2) @ Blur(KERNEL),
    "sum": Blur(KERNEL) + 2.0 * Convolution(KERNEL, "periodic") - Multiply(SEEN),
    "adjoint": Upsample((1, 2)).T @ Multiply(ROWS[0].reshape(SHAPE)),
    "downsample": Downsample((2, 3)),
    "downsample by area": Downsample(2, torch.arange(1.0, 5.0)[:, None]),
    "upsample": Upsample((3, 2)),
    "crop": Crop(((1, 0), (2, 1))),
    "mask": Mask(SEEN),
    "mask of the first axis": Mask(SEEN[:, 0] | SEEN[:, 1]),
    "mask of the last axis": Mask(SEEN[0] | SEEN[1], last=True),
    "a mask each": Mask(EACH, per_sample=True),
    "a mask each of the last axis": Mask(torch.eye(3, 6) > 0, last=True, per_sample=True),
    "weights": Multiply(KEYS.normal(*SHAPE)[0]),
    "weights each": Multiply(KEYS.normal(*SHAPE), per_sample=True),
    "maps": Multiply(MAPS.real, new_axis=True),
    "matrix": Matrix(ROWS, SHAPE),
    "a matrix each": Matrix(Keys.of(10, 3).normal(5, 24), SHAPE, per_sample=True),
    "convolution of rows": Convolution(KERNEL[0], "reflect"),
    "a kernel each": Convolution(KEYS.normal(3, 5), "symmetric", per_sample=True),
    "a large kernel": Convolution(Keys.of(7, 9).normal(13), ("zero", "periodic")),
    "mixed borders": Convolution(KERNEL, ("reflect", "periodic")),
    "interpolation": Interpolation(POINTS, SHAPE),
    "interpolation of rows": Interpolation(POINTS[:, 1:], SHAPE[1:]),
    "periodic interpolation": Interpolation(POINTS + 2.7, SHAPE, "periodic"),
    "nearest": Interpolation(POINTS, SHAPE, method="nearest"),
    "points each": Interpolation(torch.stack([POINTS, POINTS / 2, POINTS / 3]), SHAPE, per_sample=True),
    "radon": Radon([0.0, 30.0, 45.0, 90.0, 130.0, 210.0], 6, 8) @ Pad(((1, 1), (0, 0))),
    "linear": linear(lambda x: 2 * x.cumsum(-1)[..., 1:, ::2], SHAPE),
    "stack": stack(Downsample(2), Mask(SEEN), Gradient(), shape=SHAPE),
    **{f"pad {border}": Pad(((2, 1), (3, 0)), border) for border in BORDERS},
    **{f"convolution {border}": Convolution(KERNEL, border) for border in BORDERS},
    **{f"laplacian {border}": Laplacian(spacing=(0.5, 2.0), borders=border) for border in BORDERS},
    **{f"{scheme} gradient": Gradient(borders=("reflect", "periodic"), scheme=scheme) for scheme in STENCILS},
}
"""Those of one event of SHAPE, real or complex."""

TO_COMPLEX: dict[str, Operator] = {
    "fourier": Fourier(complex=True),
    "centered fourier": Fourier((1,), complex=True, centered=True),
    "complex maps": Multiply(MAPS, new_axis=True),
    "complex maps each": Multiply(waves(3, 5, *SHAPE), new_axis=True, per_sample=True),
    "complex matrix": Matrix(waves(5, 24), SHAPE),
    "complex kernel": Convolution(waves(3, 5), "reflect"),
    "complex multiple": (2.0 - 3.0j) * Blur(KERNEL),
    "coils": SENSE,
    "stack": stack(Fourier((0,), complex=True), Mask(SEEN), shape=SHAPE),
    "function": linear(lambda x: torch.fft.fft2(x)[..., ::2, :], SHAPE),
}
"""Those that make complex numbers of real events."""

OF_REAL: dict[str, tuple[Operator, tuple[int, ...]]] = {
    "fourier": (Fourier(), SHAPE),
    "fourier of one axis": (Fourier(-1, centered=True), (2, 5)),
    "seen frequencies": (Mask(SEEN[..., None].expand(4, 6, 2)) @ Fourier(), SHAPE),
    "real fourier": (RealFourier(SHAPE), SHAPE),
    "real fourier of odd sides": (RealFourier((3, 5)), (2, 3, 5)),
    "real fourier of a row": (RealFourier((7,)), (7,)),
    "real fourier of one": (RealFourier((1, 1)), (1, 1)),
    "pair": (Complex(), (2, *SHAPE)),
    "pair at the end": (Complex(-1), (*SHAPE, 2)),
    "interleaved": (Complex(layout="interleaved"), (6, *SHAPE)),
    "halves": (Complex(-2, layout="halves"), (2, 6, 3)),
    "coils": (SENSE @ Complex(), (2, *SHAPE)),
    "parts of coils": (real_parts(SENSE @ Complex()), (2, *SHAPE)),
    "parts": (Complex().T @ Fourier(complex=True), SHAPE),
    "mixed stack": (stack(Fourier(), RealFourier(SHAPE), shape=SHAPE), SHAPE),
}
"""Those of real events only."""

OF_OTHERS: dict[str, tuple[Operator, tuple[int, ...]]] = {
    "volumes": (Downsample((1, 2, 3)), (2, 2, 4, 6)),
    "gradient of a volume": (Gradient(3, (1.0, 2.0, 3.0)), (2, 3, 4, 5)),
    "a row": (Laplacian(1), (5,)),
    "convolution of volumes": (Convolution(Keys.of(8, 3).normal(3, 1), ("zero", "reflect", "periodic")), (2, 3, 4, 5)),
    "channels": (Multiply(MAPS[:, None].real, new_axis=True), (3, *SHAPE)),
    "interpolation of a volume": (Interpolation(Keys.of(9, 4).uniform(3), (2, 3, 4)), (2, 2, 3, 4)),
    **{
        f"{scheme} divergence": (Divergence(borders=("symmetric", "zero"), scheme=scheme), (3, 2, 4, 6))
        for scheme in STENCILS
    },
}
"""Those of events of other shapes, real or complex."""


@pytest.mark.parametrize("name", FAMILIES)
def test_of_real_and_complex_fields(name: str) -> None:
    for complex in (False, True):
        check_operator(FAMILIES[name], SHAPE, n=2, complex=complex, tolerance=1e-13)


@pytest.mark.parametrize("name", TO_COMPLEX)
def test_that_make_complex_numbers(name: str) -> None:
    check_operator(TO_COMPLEX[name], SHAPE, tolerance=1e-13)
    if name != "function":
        check_operator(TO_COMPLEX[name], SHAPE, complex=True, tolerance=1e-13)


def test_functions_of_complex_events() -> None:
    check_operator(linear(lambda x: torch.fft.fft2(x)[..., ::2, :] * 1j, SHAPE, complex=True), SHAPE, complex=True)


@pytest.mark.parametrize("name", OF_REAL)
def test_of_real_events(name: str) -> None:
    check_operator(*OF_REAL[name], tolerance=1e-13)


@pytest.mark.parametrize("name", OF_OTHERS)
def test_of_events_of_other_shapes(name: str) -> None:
    for complex in (False, True):
        check_operator(*OF_OTHERS[name], n=2, complex=complex, tolerance=1e-13)


# Any shape --------------------------------------------------------------------------------------------

SIDES = st.integers(1, 7)


@settings(max_examples=5)
@given(st.lists(SIDES, min_size=1, max_size=3), st.data())
def test_of_any_shape(shape: list[int], data: st.DataObject) -> None:
    complex, spread = data.draw(st.booleans()), Keys.of(0, 1)
    border = data.draw(st.sampled_from(("zero", "periodic", "symmetric")))
    sides = [2 * data.draw(st.integers(0, size if border != "symmetric" else size // 2)) + 1 for size in shape]
    factors = [data.draw(st.integers(1, 3)) for _ in shape]
    points = spread.uniform(5, len(shape))[0] * (torch.tensor(shape) - 1)
    finer = tuple(size * factor for size, factor in zip(shape, factors, strict=True))
    for operator, event in (
        (Convolution(spread.normal(*sides)[0], border), tuple(shape)),
        (Fourier(range(len(shape)), complex=True, centered=True), tuple(shape)),
        (Interpolation(points, shape), (2, *shape)),
        (Downsample(factors, spread.uniform(*finer)[0]), finer),
        (Upsample(factors), tuple(shape)),
        (Laplacian(len(shape), borders=border), tuple(shape)),
    ):
        check_operator(operator, event, n=2, complex=complex)
    check_operator(RealFourier(shape), (2, *shape), n=2)


@settings(max_examples=8)
@given(st.integers(1, 6), st.integers(1, 9), st.lists(st.floats(-360, 360), min_size=1, max_size=3))
def test_rays_of_any_angle(size: int, detectors: int, angles: list[float]) -> None:
    check_operator(Radon(angles, size, detectors), (size, size), n=1)


# Broken twins -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Twin(Operator):
    """An operator with another adjoint."""

    operator: Operator
    back: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.back(y)


def zero_bordered(y: Tensor) -> Tensor:
    """The adjoint of a padding that forgets what the cells outside were read from."""
    return folded(y, 1, 1, 1, "zero")


INVERSE: Callable[[Tensor], Tensor] = lambda y: torch.fft.irfft2(y, SHAPE, norm="ortho")  # noqa: E731
REFLECT = Pad(((1, 1),), "reflect")


@pytest.mark.parametrize(
    ("operator", "back", "shape", "complex"),
    [
        (Multiply(MAPS[0]), lambda y: MAPS[0].to(y.dtype) * y, SHAPE, True),  # the conjugate is missing
        (Multiply(MAPS[0]), lambda y: MAPS[0].to(y.dtype) * y, SHAPE, False),
        (Matrix(MAPS[0]), lambda y: y @ MAPS[0].to(y.dtype), (6,), True),
        (1j * Mask(SEEN), (1j * Mask(SEEN).T), SHAPE, True),
        (RealFourier(SHAPE), INVERSE, SHAPE, False),  # its inverse is not its adjoint
        (RealFourier(SHAPE), lambda y: INVERSE(y) / 2, SHAPE, False),
        (Fourier(complex=True), lambda y: torch.fft.ifft2(y), SHAPE, True),  # not orthonormal
        (Fourier(complex=True, centered=True), Fourier(complex=True).adjoint, SHAPE, True),
        (REFLECT, zero_bordered, (5,), False),
        (Convolution(KERNEL, "reflect"), Convolution(KERNEL, "zero").adjoint, SHAPE, False),
        (Convolution(KERNEL, "reflect"), Convolution(KERNEL.flip(0, 1), "reflect"), SHAPE, False),
        (Blur(KERNEL), Blur(KERNEL), SHAPE, False),  # the kernel is not turned around
        (Laplacian(borders="reflect"), Laplacian(borders="reflect"), SHAPE, False),
        (Multiply(MAPS, new_axis=True), lambda y: (y * MAPS.conj().to(y.dtype)).mean(1), SHAPE, True),
        (Downsample(2), Upsample(2), SHAPE, False),
        (Interpolation(POINTS, SHAPE), Interpolation(POINTS, SHAPE, method="nearest").adjoint, SHAPE, False),
        (Complex(), Complex(layout="interleaved").adjoint, (2, *SHAPE), False),
        (Complex(), lambda y: Complex().adjoint(y.conj()), (2, *SHAPE), False),
        (Radon([30.0], 5), lambda y: Radon([-30.0], 5).adjoint(y), (5, 5), False),
    ],
)
def test_what_is_no_adjoint_is_rejected(
    operator: Operator, back: Callable[[Tensor], Tensor], shape: tuple[int, ...], complex: bool
) -> None:
    check_operator(operator, shape, complex=complex)
    with pytest.raises(AssertionError, match=r"⟨A x, y⟩ = ⟨x, Aᵀ y⟩|has the shape of x"):
        check_operator(Twin(operator, back), shape, complex=complex)


@pytest.mark.parametrize(
    ("forward", "back", "sentence"),
    [
        (lambda x: x, lambda y: y.abs(), "Aᵀ is linear"),
        (lambda x: x, lambda y: y + y.mean(0), "rest of the batch|⟨A x, y⟩"),
        (lambda x: x, lambda y: y * (1 + 1e-9), "⟨A x, y⟩"),
        (lambda x: x, lambda y: y * (1.0 if y.dtype == torch.float64 else 1.001), "in single precision"),
    ],
)
def test_other_faults_of_adjoints_are_rejected(forward: Any, back: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_operator(LinearFunction(forward, back), (4,))


def test_a_sample_that_gets_anothers_part_is_rejected() -> None:
    @dataclass(frozen=True, eq=False)
    class Shifted(Multiply):
        """A broken twin: it takes the field of the next sample."""

        def _taken(self, index: Any) -> Operator:
            return Multiply(self.values.roll(1, 0)[index], per_sample=True)

    values = KEYS.normal(*SHAPE)
    assert check_operator(Multiply(values, per_sample=True), SHAPE) == 12
    with pytest.raises(AssertionError, match="A x does not depend on the rest of the batch"):
        check_operator(Shifted(values, per_sample=True), SHAPE)

"""What the operators of fields do, each beside another way to say it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from ornstein.guidance.operators import (
    Complex,
    Convolution,
    Crop,
    Divergence,
    Downsample,
    Fourier,
    Gradient,
    Interpolation,
    Laplacian,
    Mask,
    Multiply,
    Pad,
    Radon,
    RealFourier,
    Sum,
    Upsample,
    linear,
    stack,
)
from ornstein.keys import Keys
from ornstein.spectral.borders import BORDERS
from worlds import assert_close, double, rejected

KEYS = Keys.of(2, 3)
SHAPE = (5, 6)
X = KEYS.normal(*SHAPE)
Z = torch.view_as_complex(KEYS.fold(1).normal(*SHAPE, 2))
KERNEL = Keys.of(3, 3).normal(5)
SEEN = Keys.of(4, 1).uniform(*SHAPE)[0] < 0.4
MAPS = torch.view_as_complex(Keys.of(5, 4).normal(*SHAPE, 2))
POINTS = Keys.of(6, 7).uniform(2) * double([4.0, 5.0])


# Algebra ----------------------------------------------------------------------------------------------


def test_sums_and_multiples() -> None:
    a, b = Convolution(KERNEL), Multiply(SEEN)
    assert_close((a + 2.0 * b - b)(X), a(X) + b(X))
    assert_close((-a)(X), -a(X))
    assert_close((a * 1j)(Z), 1j * a(Z))
    assert_close(Sum(a, b, a)(X), 2 * a(X) + b(X))
    assert a.T.T is a


def test_a_stack_of_real_and_complex_parts_is_complex() -> None:
    both = stack(Mask(SEEN), Fourier(complex=True), shape=SHAPE)
    assert both(X).equal(torch.cat([X[:, SEEN].to(Z.dtype), torch.fft.fft2(X, norm="ortho").flatten(1)], 1))
    assert stack(Complex(), shape=(2, *SHAPE))(torch.stack([X, X], 1)).is_complex()
    assert stack(Mask(SEEN), shape=SHAPE, complex=True)(Z).equal(Z[:, SEEN])


def test_some_of_the_samples() -> None:
    each = Multiply(X, per_sample=True) @ Convolution(KERNEL)
    assert each.samples == 3
    assert_close(each.take(torch.tensor([2, 0]))(X[[2, 0]]), each(X)[[2, 0]])
    both = stack(each, 2.0 * Mask(SEEN), shape=SHAPE)
    assert both.samples == 3
    assert_close(both.take(slice(1, 2))(X[1:2]), both(X)[1:2])
    assert Convolution(KERNEL).samples is None


# Complex numbers --------------------------------------------------------------------------------------


def test_a_complex_field_of_a_real_state() -> None:
    parts = torch.view_as_real(Z)
    assert Complex(-1)(parts).equal(Z)
    assert Complex()(parts.movedim(-1, 1)).equal(Z)
    three = torch.stack([Z, 2 * Z, Z.conj().resolve_conj()], 1)
    by_turns = torch.view_as_real(three).movedim(-1, 2).flatten(1, 2)
    assert Complex(layout="interleaved")(by_turns).equal(three)
    assert Complex(layout="halves")(torch.cat([three.real, three.imag], 1)).equal(three)
    for layout, state in (("interleaved", by_turns), ("halves", torch.cat([three.real, three.imag], 1))):
        assert Complex(layout=layout).adjoint(Complex(layout=layout)(state)).equal(state)


def test_coil_maps_make_an_axis_and_its_adjoint_sums_over_it() -> None:
    seen = Multiply(MAPS, new_axis=True)(Z)
    assert_close(seen, torch.einsum("chw,bhw->bchw", MAPS, Z))
    assert_close(Multiply(MAPS, new_axis=True).adjoint(seen), torch.einsum("chw,bchw->bhw", MAPS.conj(), seen))
    each = torch.stack([MAPS, 2 * MAPS, 1j * MAPS])
    assert_close(Multiply(each, new_axis=True, per_sample=True)(Z), torch.einsum("bchw,bhw->bchw", each, Z))
    channels = torch.stack([Z, 3 * Z], 1)
    assert_close(Multiply(MAPS, new_axis=True)(channels)[:, 1], 3 * seen)
    assert_close(Multiply(double([1.0, 2.0])[:, None, None])(channels)[:, 1], 6 * Z)


def test_masks_of_the_last_axes_and_of_each_sample() -> None:
    coils = torch.einsum("chw,bhw->bchw", MAPS, Z)
    assert Mask(SEEN, last=True)(coils).equal(coils[..., SEEN])
    each = torch.stack([SEEN, SEEN.roll(1, 0), SEEN.roll(1, 1)])
    assert Mask(each, per_sample=True)(X).equal(torch.stack([x[seen] for x, seen in zip(X, each, strict=True)]))
    assert Mask(each[:1], per_sample=True)(X).equal(X[:, SEEN])
    last = Mask(each, last=True, per_sample=True)(coils)
    assert last.equal(torch.stack([x[:, seen] for x, seen in zip(coils, each, strict=True)]))


# Fourier ----------------------------------------------------------------------------------------------


def test_fourier_transforms_of_some_axes_and_about_the_middle() -> None:
    assert_close(Fourier((0,), complex=True)(X), torch.fft.fft(X, dim=1, norm="ortho"))
    centered = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(Z.numpy(), (1, 2)), norm="ortho"), (1, 2))
    assert_close(Fourier(complex=True, centered=True)(Z), torch.from_numpy(centered))
    constant = Fourier(centered=True)(torch.ones(1, *SHAPE, dtype=torch.float64))
    assert constant[0, 2, 3, 0] == pytest.approx(30**0.5)
    assert constant.abs().sum() == pytest.approx(30**0.5)


@pytest.mark.parametrize("shape", [(5, 6), (6, 5)])
def test_the_half_of_a_spectrum(shape: tuple[int, int]) -> None:
    x = X.reshape(3, *shape)
    half = RealFourier(shape)(x)
    assert_close(half, torch.fft.fft2(x, norm="ortho")[..., : shape[1] // 2 + 1])


# Borders ----------------------------------------------------------------------------------------------

SCIPY = {"zero": "constant", "periodic": "grid-wrap", "reflect": "mirror", "symmetric": "reflect"}
NUMPY = {"zero": "constant", "periodic": "wrap", "reflect": "reflect", "symmetric": "symmetric"}


def convolved(x: Tensor, border: str) -> Tensor:
    found = [ndimage.convolve(one.numpy(), KERNEL.numpy(), mode=SCIPY[border]) for one in x]
    return torch.from_numpy(np.stack(found))


@pytest.mark.parametrize("border", BORDERS)
def test_convolutions_are_scipys(border: str) -> None:
    assert_close(Convolution(KERNEL, border)(X), convolved(X, border))
    assert_close(Convolution(KERNEL, border)(Z), torch.complex(convolved(Z.real, border), convolved(Z.imag, border)))
    other = BORDERS[(BORDERS.index(border) + 1) % len(BORDERS)]
    rejected(lambda: assert_close(Convolution(KERNEL, border)(X), convolved(X, other)))


def test_convolutions_of_each_sample_and_of_complex_kernels() -> None:
    kernels = torch.stack([KERNEL, 2 * KERNEL, KERNEL.flip(0)])
    alone = torch.cat([Convolution(one)(x[None]) for one, x in zip(kernels, X, strict=True)])
    assert_close(Convolution(kernels, per_sample=True)(X), alone)
    complex = Convolution(KERNEL + 2j * KERNEL.flip(0), "reflect")(X)
    assert_close(complex, Convolution(KERNEL, "reflect")(X) + 2j * Convolution(KERNEL.flip(0), "reflect")(X))
    assert_close(Convolution(KERNEL[0], "periodic")(X), convolved_rows())


def convolved_rows() -> Tensor:
    return torch.from_numpy(ndimage.convolve1d(X.numpy(), KERNEL[0].numpy(), 2, mode="wrap"))


def test_a_kernel_may_be_larger_than_a_periodic_field() -> None:
    wide = Keys.of(7, 1).normal(9, 13)[0]
    found = ndimage.convolve(np.tile(X[0].numpy(), (5, 5)), wide.numpy(), mode="constant")
    assert_close(Convolution(wide, "periodic")(X)[0], torch.from_numpy(found[10:15, 12:18]))


@pytest.mark.parametrize("border", BORDERS)
def test_pads_are_numpys_and_crops_undo_them(border: str) -> None:
    widths = ((2, 1), (0, 3))
    wide = Pad(widths, border)(X)
    assert wide.equal(torch.from_numpy(np.pad(X.numpy(), ((0, 0), *widths), mode=NUMPY[border])))  # pyright: ignore
    assert Crop(widths)(wide).equal(X)


# Grids ------------------------------------------------------------------------------------------------


def test_means_by_area() -> None:
    areas = double([1.0, 3.0, 2.0, 0.0, 5.0, 1.0])
    found = Downsample((5, 2), areas[None])(X)
    assert_close(found[:, 0, 0], (X[:, :, 0] + 3 * X[:, :, 1]).sum(1) / 20)
    assert_close(Downsample((5, 2), areas[None])(torch.ones_like(X)), torch.ones(3, 1, 3, dtype=torch.float64))
    assert_close(Downsample((1, 3))(X)[:, :, 1], X[:, :, 3:].mean(2))
    assert_close(Upsample((1, 3))(X)[:, :, 4], X[:, :, 1])
    assert_close(Downsample((2, 3))(Upsample((2, 3))(X)), X)


def planes(points: Tensor) -> Tensor:
    return 2.0 + 3.0 * points[:, 0] - points[:, 1]


def test_points_read_what_lies_around_them() -> None:
    found = [ndimage.map_coordinates(x.numpy(), POINTS.numpy().T, order=1) for x in X]
    assert_close(Interpolation(POINTS, SHAPE)(X), torch.from_numpy(np.stack(found)))
    wrapped = [ndimage.map_coordinates(x.numpy(), POINTS.numpy().T + 3, order=1, mode="grid-wrap") for x in X]
    assert_close(Interpolation(POINTS + 3 - 60, SHAPE, "periodic")(X), torch.from_numpy(np.stack(wrapped)))
    nearest = POINTS.round().long()
    assert Interpolation(POINTS, SHAPE, method="nearest")(X).equal(X[:, nearest[:, 0], nearest[:, 1]])
    corners = double([[0.0, 0.0], [4.0, 5.0]])
    assert Interpolation(corners, SHAPE)(X).equal(torch.stack([X[:, 0, 0], X[:, 4, 5]], 1))


def test_points_in_the_coordinates_of_the_grid() -> None:
    heights, widths = double([90.0, 60.0, 10.0, -20.0, -90.0]), torch.arange(0.0, 360.0, 60.0, dtype=torch.float64)
    field = planes(torch.cartesian_prod(heights, widths)).reshape(1, *SHAPE)
    points = double([[75.0, 10.0], [-90.0, 300.0], [0.0, 120.0], [90.0, 0.0]])
    found = Interpolation(points, SHAPE, coordinates=(heights, widths.tolist()))
    assert_close(found(field)[0], planes(points))
    around = Interpolation(
        double([[60.0, -30.0], [60.0, 690.0]]), SHAPE, ("inside", "periodic"), "linear", (heights, widths)
    )
    assert_close(around(field)[0], (field[0, 1, 5] + field[0, 1, 0]).expand(2) / 2)


def test_lists_count_with_all_their_digits() -> None:
    third = [1 / 3, 0.1]
    assert_close(
        Convolution([third[0], 0.2, 0.1], "periodic")(X), Convolution(double([1 / 3, 0.2, 0.1]), "periodic")(X)
    )
    assert_close(Multiply(1j / 3)(X), X * (1j / 3))
    assert Interpolation([third], SHAPE)(X).equal(Interpolation(double([third]), SHAPE)(X))
    assert Radon([third[0]], 5)(X[..., :5]).equal(Radon(double([third[0]]), 5)(X[..., :5]))


def test_each_sample_has_its_points() -> None:
    points = torch.stack([POINTS, POINTS / 2, POINTS.flip(0)])
    alone = torch.cat([Interpolation(one, SHAPE)(x[None]) for one, x in zip(points, X, strict=True)])
    assert_close(Interpolation(points, SHAPE, per_sample=True)(X), alone)
    both = Interpolation(points, SHAPE, per_sample=True)(torch.stack([X, -X], 1))
    assert_close(both, torch.stack([alone, -alone], 1))


def test_gradients_pass_through_what_is_sparse() -> None:
    operator, x = Interpolation(POINTS, SHAPE), X.clone().requires_grad_()
    y = KEYS.fold(3).normal(7)
    (slope,) = torch.autograd.grad((operator(x) * y).sum(), x)
    assert_close(slope, operator.adjoint(y))
    assert_close(linear(operator, SHAPE).adjoint(y), operator.adjoint(y))
    assert_close(torch.func.jvp(operator, (X,), (X,))[1], operator(X))


def test_a_matrix_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Radon([10.0, 70.0], 6)
    made: list[float] = []
    monkeypatch.setattr(Radon, "_rays", lambda self, angle, make=Radon._rays: made.append(angle) or make(self, angle))
    for x in (X[:, :, :5], X[:, :, :5].float()):
        padded = Pad(((0, 1), (0, 1)))(x)
        operator.adjoint(operator(padded))
    assert len(made) == 2


def test_what_is_kept_is_no_inference_tensor_and_no_old_parameter() -> None:
    kernel = KERNEL.clone().requires_grad_()
    operator = Convolution(kernel) @ Multiply(X[0])
    with torch.inference_mode():
        operator(X)
    assert_close(linear(operator, SHAPE).adjoint(X), operator.adjoint(X))
    with torch.no_grad():
        kernel.mul_(2.0)
    assert_close(operator(X), 2 * Convolution(KERNEL)(Multiply(X[0])(X)))


# Differences ------------------------------------------------------------------------------------------


def test_slopes_of_a_plane() -> None:
    plane = planes(torch.cartesian_prod(*[torch.arange(5.0, dtype=torch.float64)] * 2)).reshape(1, 5, 5)
    for scheme in ("central", "forward", "backward"):
        slopes = Gradient(spacing=(0.5, 2.0), scheme=scheme)(plane)[0, :, 1:-1, 1:-1]
        assert_close(slopes, double([6.0, -0.5])[:, None, None].expand(2, 3, 3))
    assert_close(Laplacian()(plane)[0, 1:-1, 1:-1], double(torch.zeros(3, 3)))
    assert_close(Divergence()(torch.stack([plane, 2 * plane], 1))[0, 1:-1, 1:-1], double(torch.ones(3, 3)))


@pytest.mark.parametrize(
    ("border", "wave"),
    [
        ("zero", lambda i: (torch.pi * 2 * (i + 1) / 7).sin()),
        ("symmetric", lambda i: (torch.pi * 3 * (i + 0.5) / 6).cos()),
        ("reflect", lambda i: (torch.pi * 2 * i / 5).cos()),
        ("periodic", lambda i: (2 * torch.pi * 2 * i / 6 + 0.3).cos()),
    ],
)
def test_waves_that_keep_a_border_are_eigenfunctions(border: str, wave: Callable[[Tensor], Tensor]) -> None:
    step = np.pi * {"zero": 2 / 7, "symmetric": 1 / 2, "reflect": 2 / 5, "periodic": 2 / 3}[border]
    field = wave(torch.arange(6, dtype=torch.float64))[None]
    expected = 2 * (np.cos(step) - 1) / 0.25 * field
    assert_close(Laplacian(1, 0.5, border)(field), expected)
    for other in set(BORDERS) - {border}:
        rejected(lambda other=other: assert_close(Laplacian(1, 0.5, other)(field), expected))


@pytest.mark.parametrize("border", ["zero", "periodic"])
def test_the_laplacian_is_the_divergence_of_the_gradient(border: str) -> None:
    gradient, divergence = Gradient(borders=border, scheme="forward"), Divergence(borders=border, scheme="backward")
    assert_close(-gradient.adjoint(gradient(X)), divergence(gradient(X)))
    if border == "periodic":
        assert_close(divergence(gradient(X)), Laplacian(borders=border)(X))


# Rays -------------------------------------------------------------------------------------------------


def bump(size: int, right: float, up: float, width: float) -> Tensor:
    """A normal density on a grid, about a point to the right of the middle and above it."""
    line = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    square = (line[None, :] - right) ** 2 + (-line[:, None] - up) ** 2
    return (-square / (2 * width**2)).exp()[None] / (2 * torch.pi * width**2)


def test_line_integrals_of_a_bump() -> None:
    angles, size, right, up, width = double([0.0, 20.0, 45.0, 90.0, 100.0, 200.0, 315.0]), 40, 4.0, -6.5, 3.0
    found = Radon(angles, size, 50, spacing=2.0)(bump(size, right, up, width))[0]
    theta, s = torch.deg2rad(angles)[:, None], torch.arange(50) - 24.5
    away = s - (right * theta.cos() + up * theta.sin())
    expected = 2.0 * (-(away**2) / (2 * width**2)).exp() / (2 * torch.pi) ** 0.5 / width
    assert_close(found, expected, 5e-3)
    rejected(
        lambda: assert_close(Radon(-angles, size, 50, spacing=2.0)(bump(size, right, up, width))[0], expected, 5e-3)
    )


def test_rays_along_the_axes_are_sums() -> None:
    sums = Radon([0.0, 90.0], 5)(X[:, :, :5])
    assert_close(sums[:, 0], X[:, :, :5].sum(1))
    assert_close(sums[:, 1], X[:, :, :5].sum(2).flip(1))

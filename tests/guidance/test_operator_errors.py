"""What does not fit an operator is said before any work is done: by its name, what was found and what was expected."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ornstein.errors import InputError
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
    Matrix,
    Multiply,
    Pad,
    Radon,
    RealFourier,
    Sum,
    Upsample,
    real_parts,
    stack,
    whitener,
)
from ornstein.guidance.operators.base import require_inexact
from ornstein.keys import Keys
from worlds import double

KEYS = Keys.of(2, 3)
SHAPE = (5, 6)
X = KEYS.normal(*SHAPE)
Z = torch.view_as_complex(KEYS.fold(1).normal(*SHAPE, 2))
KERNEL = Keys.of(3, 3).normal(5)
SEEN = Keys.of(4, 1).uniform(*SHAPE)[0] < 0.4
MAPS = torch.view_as_complex(Keys.of(5, 4).normal(*SHAPE, 2))
POINTS = Keys.of(6, 7).uniform(2) * double([4.0, 5.0])
FEW = torch.ones(2, *SHAPE)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Convolution(KERNEL, "wrap"), "Convolution: borders is 'wrap', expected one of zero, periodic"),
        (lambda: Convolution(KERNEL, ("zero",) * 3), "Convolution: borders has 3 entries, .* one for each of 2"),
        (lambda: Convolution(KERNEL[:, :4]), r"Convolution: kernel has the shape \(3, 4\), expected odd sides"),
        (lambda: Convolution(KERNEL * torch.nan), r"Convolution: kernel: element \(0, 0\) is nan, expected finite"),
        (
            lambda: Convolution(KERNEL, "reflect")(X[:, :, :2]),
            "Convolution: an axis of 2 cells is extended by 2, expected 1",
        ),
        (
            lambda: Convolution(KERNEL)(X[:, 0, 0]),
            r"Convolution with a kernel of shape \(3, 5\) does not act on .*\(\)",
        ),
        (lambda: Convolution(X[:, :3, :3], per_sample=True)(FEW), "Convolution is of 3 samples, found a batch of 2"),
        (lambda: Fourier(()), r"Fourier: axes is \(\), expected axes of an event"),
        (lambda: Fourier((0, 0)), r"Fourier: axes is \(0, 0\), expected axes of an event, each once"),
        (lambda: Fourier((0, -2), complex=True)(X), r"axes \(0, -2\) of events of shape \(5, 6\) are one axis twice"),
        (lambda: Fourier((2,), complex=True)(X), "Fourier: axis is 2, but events have 2 axes"),
        (lambda: Fourier()(Z), r"Fourier\(\) acts on real fields, .* use Fourier\(complex=True\)"),
        (lambda: Fourier().adjoint(X), r"the adjoint of Fourier\(\) .* shape \(5, 6\): expected \(\.\.\., 2\)"),
        (
            lambda: RealFourier((5, 5))(X),
            r"RealFourier does not act on events of shape \(5, 6\): expected \(\.\.\., 5, 5\)",
        ),
        (lambda: RealFourier(SHAPE).adjoint(Z), r"adjoint of RealFourier .* \(5, 6\): expected \(\.\.\., 5, 4\)"),
        (lambda: RealFourier(()), r"RealFourier: shape is \(\), expected that of one axis or more"),
        (lambda: Complex()(X), r"Complex\(axis=0, layout='pair'\) .* shape \(5, 6\): expected .* 2 along axis 0"),
        (lambda: Complex(layout="halves")(X), "as many imaginary as real parts, an even number along axis 0"),
        (lambda: Complex(layout="both"), "Complex: layout is 'both', expected one of pair, interleaved, halves"),
        (lambda: Complex()(Z), r"Complex\(\) acts on real fields, .* use the field as it is"),
        (lambda: Complex(3)(X), "Complex: axis is 3, but events have 2 axes"),
        (lambda: real_parts(Fourier(complex=True)).adjoint(X), r"expected \(\.\.\., 2\)"),
        (
            lambda: Multiply(MAPS, new_axis=True)(X[:, :4]),
            r"Multiply by values of shape \(4, 5, 6\) .*expected \(\.\.\., 5, 6\)",
        ),
        (lambda: Multiply(MAPS, new_axis=True).adjoint(Z), r"adjoint of Multiply .* expected \(\.\.\., 4, 5, 6\)"),
        (lambda: Multiply(X, per_sample=True)(FEW), r"shape \(3, 5, 6\) is of 3 samples, found a batch of 2"),
        (
            lambda: Multiply(1.0, new_axis=True),
            r"values has the shape \(\), expected an axis for each of \['new_axis'\]",
        ),
        (lambda: Multiply(X / 0.0), r"Multiply: values: element .* is -?inf"),
        (lambda: Mask(SEEN, last=True)(X[:, :4]), r"mask of shape \(5, 6\) does not act on .* \(4, 6\): expected"),
        (lambda: Mask(SEEN).adjoint(X), rf"adjoint of a Mask .* expected {int(SEEN.sum())} along the first axis"),
        (
            lambda: Mask([[1, 0], [1, 1]], per_sample=True),
            r"masks of the samples see \[1, 2\] numbers, expected as many",
        ),
        (lambda: Mask(torch.eye(3, 5) > 0, per_sample=True)(FEW), "is of 3 samples, found a batch of 2"),
        (lambda: Mask(True), r"Mask: seen has the shape \(\), expected one axis of an event or more"),
        (lambda: Matrix(MAPS[0]).adjoint(X), r"the adjoint of a Matrix of 5 rows does not act on .* expected \(5,\)"),
        (
            lambda: Downsample((5, 4))(X),
            r"Downsample\(\(5, 4\)\), whose blocks .* shape \(5, 6\): expected multiples of \(5, 4\)",
        ),
        (lambda: Downsample(1, -X[0]), "Downsample: weights have the shape .* expected 2 axes"),
        (lambda: Downsample(1, X[0, 0].abs()), r"weights have the shape \(6,\) .* expected 2 axes"),
        (lambda: Downsample(1, torch.ones(2, 6))(X), r"Downsample does not act on .* as of its weights, \(2, 6\)"),
        (
            lambda: Downsample((1, 3), SEEN[:1] * 0.0)(X),
            r"the weights of block \(0, 0\) are all 0, expected a positive sum",
        ),
        (lambda: Upsample((2, 0)), r"Upsample: size is \(2, 0\), expected a number of pixels"),
        (
            lambda: Upsample((1, 4)).adjoint(X),
            r"the adjoint of Upsample\(\(1, 4\)\) .*expected multiples of \(1, 4\)",
        ),
        (lambda: Pad(((-1, 0),)), r"Pad: widths is \(\(-1, 0\),\), expected cells \(before, after\)"),
        (lambda: Pad(((0, 6),), "reflect")(X), "Pad: an axis of 6 cells is extended by 6, expected 5 at most"),
        (lambda: Crop(((3, 3),))(X), r"Crop of \(\(3, 3\),\) cells .* expected last axes that are longer"),
        (lambda: Gradient(borders="edge"), "Gradient: borders is 'edge'"),
        (
            lambda: Gradient(scheme="middle"),
            "Gradient: scheme is 'middle', expected one of forward, backward, central",
        ),
        (lambda: Gradient(spacing=(1.0, 0.0)), r"Gradient: spacing is \(1.0, 0.0\), expected positive distances"),
        (lambda: Gradient(3)(X), r"Gradient does not act on events of shape \(5, 6\): expected \(\.\.\., d, h, w\)"),
        (lambda: Divergence()(X), r"Divergence does not act on .* expected \(\.\.\., 2, h, w\)"),
        (lambda: Laplacian(0), "Laplacian: axes is 0, expected how many"),
        (
            lambda: Laplacian(borders="reflect")(X[:, :1]),
            "differences: an axis of 1 cells is extended by 1, expected 0",
        ),
        (
            lambda: Interpolation(POINTS[:, :1], SHAPE),
            r"points has the shape \(7, 1\), expected \(points, 2\), .* \(5, 6\)",
        ),
        (lambda: Interpolation(POINTS[:0], SHAPE), r"points has the shape \(0, 2\)"),
        (
            lambda: Interpolation(POINTS + 1, SHAPE),
            r"point \d is .* along axis \d, outside of the grid, expected 0 to",
        ),
        (lambda: Interpolation(POINTS / 0, SHAPE), r"Interpolation: points: element .* is inf"),
        (lambda: Interpolation(POINTS, SHAPE, "zero"), "borders is 'zero', expected 'inside' or 'periodic'"),
        (lambda: Interpolation(POINTS, SHAPE, method="cubic"), "method is 'cubic', expected 'linear' or 'nearest'"),
        (
            lambda: Interpolation(POINTS, SHAPE)(X[:, :4]),
            r"Interpolation .* shape \(4, 6\): expected \(\.\.\., 5, 6\)",
        ),
        (lambda: Interpolation(POINTS, SHAPE).adjoint(X), r"adjoint of Interpolation .* expected \(\.\.\., 7\)"),
        (
            lambda: Interpolation(POINTS, SHAPE, coordinates=([0.0, 1], [0])),
            r"of axis 0 have the shape \(2,\), expected \(5,\)",
        ),
        (lambda: Interpolation(POINTS[:, :1], (3,), coordinates=([0, 2, 1.0],)), "axis 0 neither rise nor fall"),
        (lambda: Interpolation(POINTS[:, :1], (3,), "periodic", coordinates=([0, 1, 3.0],)), "are not evenly spaced"),
        (
            lambda: Interpolation([[5.0]], (3,), coordinates=([6.0, 8, 9],)),
            "point 0 is 5 along axis 0, .* expected 6 to 9",
        ),
        (lambda: Matrix(X, per_sample=True)(FEW), "a Matrix of 6 columns is of 3 samples, found a batch of 2"),
        (lambda: Matrix(X[0], per_sample=True), r"matrix has the shape \(5, 6\), expected samples, rows and columns"),
        (lambda: whitener([[1.0, 2.0]]), r"whitener: covariance has the shape \(1, 2\), expected \(m, m\)"),
        (lambda: whitener([[1.0, 2.0], [2.0, 1.0]]), "whitener: covariance is not symmetric and positive"),
        (lambda: whitener([[1.0, 0.5], [0.0, 1.0]]), "whitener: covariance is not symmetric and positive"),
        (lambda: Radon([], 4), r"Radon: angles has the shape \(0,\), expected \(angles,\)"),
        (lambda: Radon([torch.nan], 4), r"Radon: angles: element \(0,\) is nan"),
        (lambda: Radon([0.0], 0), "Radon: size is 0, expected a whole number"),
        (lambda: Radon([0.0], 4)(X), r"Radon of 4 × 4 cells does not act on .* \(5, 6\): expected \(\.\.\., 4, 4\)"),
        (lambda: Radon([0.0], 4).adjoint(X), r"the adjoint of Radon .* expected \(\.\.\., 1, 4\)"),
        (lambda: (Multiply(X[0]) + Mask(SEEN))(X), r"Sum: its parts give the shapes \(5, 6\) \(Multiply\) and"),
        (lambda: Sum(), "Sum: of nothing, expected operators"),
        (lambda: float("nan") * Mask(SEEN), "nan times Mask: expected a finite number"),
        (lambda: Mask(SEEN) * X, "a Tensor .a field multiplies by Multiply. times Mask: expected a finite number"),
        (lambda: stack(Mask(SEEN), shape=SHAPE).adjoint(X), r"the adjoint of a stack .* expected \(\d+,\)"),
    ],
)
def test_what_does_not_fit_is_said(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("x", "found"), [(SEEN, "numbers of torch.bool"), (SEEN.long(), "numbers of torch.int64"), ([1.0], "a list")]
)
def test_what_holds_no_real_or_complex_numbers_is_said(x: Any, found: str) -> None:
    with pytest.raises(InputError, match=f"Blur acts on tensors of real or complex numbers, found {found}"):
        require_inexact("Blur", x)

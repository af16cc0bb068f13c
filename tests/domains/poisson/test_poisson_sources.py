"""Random sources: their law, which is a function of the keys alone."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein import InputError, Keys
from ornstein.domains.poisson import sources
from worlds import rejected

SHAPE = (12, 16)


def assert_of_spectrum(fields: Tensor, **law: Any) -> None:
    """The mean square of each mode: within five standard errors, and all of them as a χ² of their number."""
    spectrum = sources.gaussian_spectrum(fields.shape[2:], **law)
    power = spectrum.basis.forward(fields[:, 0].double()).square().mean(0)
    off = (power / spectrum.variance[0] - 1) * (len(fields) / 2) ** 0.5
    assert float(off.abs().max()) < 5
    assert abs(float(off.square().mean()) - 1) < 0.5


def test_gaussian_sources_have_their_spectrum() -> None:
    fields = sources.draw("gaussian", Keys.of(0, 800), SHAPE)
    assert_of_spectrum(fields)
    rejected(partial(assert_of_spectrum, tau=2.5), fields)
    rejected(assert_of_spectrum, sources.draw("discs", Keys.of(0, 800), SHAPE))


def test_the_spectrum_is_that_of_the_formula() -> None:
    power = sources.gaussian_spectrum(SHAPE, 1.5, 4.0).variance[0]
    ratio = power[2, 5] / power[0, 1]
    assert float(ratio) == pytest.approx(((torch.pi**2 * 29 + 16) / (torch.pi**2 + 16)) ** -1.5)
    assert float(power.mean()) == pytest.approx(1)
    assert 0 < float(power[0, 0]) < 1e-5 * float(power.max())


@pytest.mark.parametrize("name", sources.LAWS)
@pytest.mark.parametrize("shape", [(40,), SHAPE, (6, 8, 5)])
def test_sources_are_a_function_of_their_keys(name: str, shape: tuple[int, ...]) -> None:
    keys = Keys.of(3, 5)
    drawn = sources.draw(name, keys, shape)
    assert drawn.shape == (5, 1, *shape)
    assert drawn.dtype == torch.float32
    assert torch.allclose(sources.draw(name, keys[2:4], shape), drawn[2:4], atol=1e-6)
    assert float((drawn[0] - drawn[1]).abs().max()) > 0.1


def test_discs_lie_where_they_lie_on_any_grid() -> None:
    """Coarse cells are as the means of the fine ones in them, nearly: their edges are sharp."""
    keys = Keys.of(4, 40)
    fine, coarse = (sources.draw("discs", keys, (n, n)) for n in (96, 32))
    means = torch.nn.functional.avg_pool2d(fine, 3)
    assert float((means - coarse).square().mean().sqrt()) < 0.2 * float(means.square().mean().sqrt())


def test_discs_are_of_either_sign_and_of_a_few_sizes() -> None:
    drawn = sources.draw("discs", Keys.of(5, 400), (32, 32))[:, 0]
    assert float(drawn.square().mean().sqrt()) == pytest.approx(0.345, abs=0.03)
    assert abs(float(drawn.mean())) < 0.02
    heights = drawn.flatten(1).abs().amax(1)
    assert float(heights.min()) > 0.5
    assert 1.4 < float(heights.mean()) < 2.4
    assert 0.6 < float((drawn.abs() < 0.02).double().mean()) < 0.9  # most of the domain is empty


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("disc", SHAPE, "did you mean 'discs'"),
        ("discs", (2, 2, 2, 2), "one axis, two or three"),
        ("gaussian", (1, 1), "more than one cell"),
        ("gaussian", (0, 4), "whole positive numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        sources.draw(name, Keys.of(0, 1), shape)

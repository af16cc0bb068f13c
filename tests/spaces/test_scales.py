"""What a space, a spectrum and a field are told is made into numbers, or refused by name: nothing is broadcast."""

from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch

from ornstein.beliefs import Normal
from ornstein.denoisers.composition import mixture
from ornstein.denoisers.diffusers import Predicted
from ornstein.denoisers.energy import energy_difference
from ornstein.denoisers.fields import field_mixture, gaussian_field
from ornstein.errors import InputError
from ornstein.guidance.constraints import boundary
from ornstein.guidance.factors import Energy
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Mask
from ornstein.keys import Keys
from ornstein.networks import Fields
from ornstein.schedules import RectifiedFlow
from ornstein.spaces import Euclidean
from ornstein.spectral.roots import Spectral, estimated, power_law
from ornstein.spectral.transforms import PIXELS, Orthogonal, Separable, periodic

SHAPE = (4, 4)
ONE = torch.ones(SHAPE)
WAVES, SINES = periodic(2), Separable(("sine", "sine"))
C = power_law(SHAPE, 3.0, WAVES)
N = power_law(SHAPE, 2.0, WAVES, std=0.5)
FIELD = gaussian_field(C)
FIELDS = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0))
COMPLEX, GRADIENT = ONE + 1j, ONE.clone().requires_grad_()


pytestmark = pytest.mark.usefixtures("untyped")

SPECTRA: list[tuple[Callable[[], Any], str]] = [
    (lambda: Spectral.of(COMPLEX, WAVES), "spectrum is complex"),
    (lambda: Spectral.of("a", WAVES), "spectrum is a str"),
    (lambda: Spectral.of(ONE > 0, WAVES), "true and false"),
    (lambda: Spectral.of(GRADIENT, WAVES), "wants a gradient"),
    (lambda: Spectral.of(torch.ones(0, 4), WAVES), r"shape of an event is .*0, 4"),
    (lambda: Spectral.of(ONE, "fourier"), "basis is a str"),  # pyright: ignore[reportArgumentType]
    (lambda: C(np.ones((2, *SHAPE))), "found ndarray"),  # pyright: ignore[reportArgumentType]
    (lambda: C(torch.ones(2, *SHAPE) + 0j), "found torch.complex64"),
    (lambda: Separable("fourier"), "expected a word an axis"),  # pyright: ignore[reportArgumentType]
    (lambda: Separable(3), "expected a word an axis"),  # pyright: ignore[reportArgumentType]
    (lambda: periodic(0), "periodic: axes is 0"),
    (lambda: periodic(1.5), "periodic: axes is 1.5"),  # pyright: ignore[reportArgumentType]
    (lambda: WAVES.frequencies((4, -4)), r"shape of an event is \(4, -4\)"),
    (lambda: WAVES.frequencies((4, 4.0)), r"shape of an event is \(4, 4.0\)"),  # pyright: ignore[reportArgumentType]
    (lambda: Orthogonal(torch.eye(16) + 0j), "matrix is complex"),
    (lambda: Orthogonal(torch.ones(0, 0)), r"shape \(0, 0\)"),
    (lambda: Orthogonal(torch.eye(16)).forward(torch.ones(2, 5)), "16 vectors does not fit"),
    (lambda: power_law(SHAPE, "3", WAVES), "exponent is '3'"),  # pyright: ignore[reportArgumentType]
    (lambda: power_law(SHAPE, nan, WAVES), "exponent is nan"),
    (lambda: power_law(SHAPE, 3.0, WAVES, std=-1.0), "std is -1.0"),
    (lambda: power_law(SHAPE, 3.0, WAVES, outer=-0.1), "outer is -0.1"),
    (lambda: power_law(SHAPE, 3.0, Orthogonal(torch.eye(16))), "basis is a Orthogonal"),  # pyright: ignore[reportArgumentType]
    (lambda: power_law((0, 4), 3.0, WAVES), "shape of an event"),
    (lambda: estimated(FIELDS + 1j, WAVES), "fields is complex"),
    (lambda: estimated(FIELDS * nan, WAVES), r"element \(0, 0, 0\) is nan"),
    (lambda: estimated(FIELDS, WAVES, floor=-1.0), "floor is -1.0"),
    (lambda: estimated(FIELDS, WAVES, floor=2.0), "floor is 2.0"),
    (lambda: estimated(ONE.expand(5, 4, 4), WAVES), "all 5 fields are the same"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "message"), SPECTRA)
def test_what_is_no_spectrum_is_named(made: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made()


def test_numbers_of_any_kind_make_one_spectrum() -> None:
    expected = Spectral.of(ONE, WAVES)
    for same in (np.ones(SHAPE), ONE.tolist(), ONE.int(), ONE.half()):
        assert Spectral.of(same, WAVES).same(expected)
    assert estimated(FIELDS.numpy(), WAVES).same(estimated(FIELDS, WAVES))


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
@pytest.mark.parametrize("axes", [("fourier", "fourier"), ("sine", "fourier")])
def test_half_precision_has_waves_too(dtype: torch.dtype, axes: tuple[str, ...]) -> None:
    cov = Spectral.of(1 + torch.rand(SHAPE), Separable(axes))
    found, expected = cov(FIELDS.to(dtype)), cov(FIELDS)
    assert found.dtype == dtype
    assert (found.float() - expected).abs().max() < 0.05


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"noise_cov": 2.0}, "noise_cov is a float"),
    ({"noise_cov": ONE}, "noise_cov is a Tensor"),
    ({"noise_cov": C.less(torch.ones(1, 1, 4, 4), torch.full((1, 1, 1), 0.01))}, "noise_cov is a Downdated"),
    ({"noise_cov": C * -1.0}, r"noise_cov: element \(0, 0\) is -"),
    ({"noise_cov": C * nan}, r"noise_cov: element \(0, 0\) is nan"),
    ({"noise_cov": Spectral(WAVES, torch.ones(3, 4, 4))}, "noise_cov: a spectrum over 4×4 of 3 samples"),
    ({"noise_cov": N, "mask": torch.ones(2, 4, 4, dtype=torch.bool)}, "under a mask"),
    ({"mask": torch.ones(2, 4, 4)}, "a mask is of true and false, found torch.float32"),
    ({"mask": "sea"}, "a mask is of true and false, found str"),
    ({"data_std": C + -100.0}, r"data_std: element \(0, 0\) is -"),
    ({"data_std": "1"}, "data_std is '1'"),
    ({"data_std": None}, "data_std is None"),
    ({"data_std": True}, "data_std is True"),
    ({"data_std": 1 + 1j}, "data_std is "),
    ({"data_std": ONE + 0j}, "data_std is complex"),
    ({"data_std": GRADIENT}, "data_std wants a gradient"),
    ({"data_std": torch.tensor(-1.0)}, "data_std: element"),
    ({"element_weights": ONE + 0j}, "element_weights is complex"),
    ({"element_weights": 0 * ONE}, "element_weights are 0 everywhere"),
    ({"element_weights": "area"}, "element_weights is a str"),
    ({"element_weights": C}, "noise_cov or data_std must be one, too"),
    (
        {"element_weights": C, "data_std": Spectral(Separable(("sine", "sine")), C.variance)},
        "cannot be added: expected one basis",
    ),
    ({"element_weights": C * -1.0, "data_std": C}, r"element_weights: element \(0, 0\) is -"),
    ({"weighting": "foo"}, "weighting is 'foo', expected one of edm"),
    ({"schedule": "cosine"}, "schedule is a str"),
    ({"shape": (0, 4)}, "shape of an event"),
    ({"shape": (4.0, 4)}, "shape of an event"),
    ({"shape": 4}, "shape of an event is 4"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_what_a_space_cannot_be_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Euclidean(**({"shape": SHAPE} | settings))  # pyright: ignore[reportArgumentType]


def test_coefficients_have_weights_of_their_own() -> None:
    keys, t = Keys.of(3, 5), torch.linspace(0.1, 0.9, 5)
    weights = Spectral(WAVES, torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    spaces = [Euclidean(SHAPE, data_std=C, noise_cov=N, weighting="unit", element_weights=w) for w in (weights, None)]
    guess = Normal(FIELDS + keys.normal(4, 4).to(FIELDS))
    found, plain = (space.loss(guess, FIELDS, FIELDS, t) for space in spaces)
    error = WAVES.forward(guess.mean - FIELDS)
    assert torch.allclose(found, (error**2 * weights.variance.to(error)).mean((1, 2)), rtol=1e-5)
    assert torch.allclose(plain, (error**2).mean((1, 2)), rtol=1e-5)
    assert not torch.allclose(found, plain, rtol=1e-2)


def test_a_space_takes_lists_and_arrays() -> None:
    told = Euclidean([4, 4], data_std=np.full(SHAPE, 2.0), element_weights=[1.0, 2.0, 3.0, 4.0])  # pyright: ignore[reportArgumentType]
    assert told.shape == SHAPE
    assert told.scale == 2.0
    told.check(FIELDS)
    assert Euclidean(SHAPE, data_std=torch.tensor(2.0)).data_std == 2.0


@pytest.mark.parametrize("space", [Euclidean(SHAPE, data_std=C), Euclidean(SHAPE, data_std=C, noise_cov=N)])
def test_coefficients_share_one_time(space: Euclidean) -> None:
    x, t = FIELDS, torch.rand(5, 4)
    asked = [
        lambda: space.inputs(x, t),
        lambda: space.belief(x, x, t),
        lambda: space.gaussian_cov(t, x),
        lambda: space.loss(space.belief(x, x, 0.5), x, x, t),
        lambda: space.noising(x, t),
    ]
    for one in asked:
        with pytest.raises(InputError, match="share one time a sample"):
            one()


def test_noise_that_diffusers_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="white noise"):
        Predicted(SHAPE, noise_cov=N, prediction="sample")
    with pytest.raises(InputError, match="data_std is nan"):
        Predicted(SHAPE, data_std=nan, prediction="sample")
    space = Predicted(SHAPE, RectifiedFlow(), prediction="flow")
    with pytest.raises(InputError, match="the network returned"):
        space.belief(FIELDS[:1], FIELDS, 0.5)


MADE: list[tuple[Callable[[], Any], str]] = [
    (lambda: gaussian_field(2.0), "cov is a float"),  # pyright: ignore[reportArgumentType]
    (lambda: gaussian_field(C, 1.0), r"mean has the shape \(\)"),  # pyright: ignore[reportArgumentType]
    (lambda: gaussian_field(C, ONE * nan), r"mean: element \(0, 0\) is nan"),
    (lambda: gaussian_field(C, COMPLEX), "mean is complex"),
    (lambda: FIELD(torch.randn(2, 4, 1), 0.5), r"a field's states are torch.float32 \(2, 4, 1\)"),
    (lambda: FIELD.log_density(torch.randn(2, 1, 4), 0.5), "a field's states are"),
    (lambda: FIELD(FIELDS, torch.rand(5, 4)), "share one time a sample"),
    (lambda: FIELD.posterior(Energy(lambda x: x.sum((1, 2)))), "not under a Energy"),
    (lambda: energy_difference(FIELD, FIELDS, FIELDS[:1], 0.5), r"a has the shape \(5, 4, 4\) and b \(1, 4, 4\)"),
    (lambda: Measurement([1.0], Mask(ONE > 0), True), "std holds true and false"),
    (lambda: Measurement([1.0], Mask(ONE > 0), 1.0, direct=1.5), "direct is 1.5"),  # pyright: ignore[reportArgumentType]
    (lambda: Measurement([1.0], Mask(ONE > 0), 1.0, iterations=1.5), "iterations is 1.5"),  # pyright: ignore[reportArgumentType]
    (lambda: FIELD.filtered(ONE, ONE, -1.0), "filtered: std is -1.0"),
    (lambda: FIELD.filtered(ONE, ONE * nan, 1.0), r"filtered: y: element \(0, 0\) is nan"),
    (lambda: FIELD.filtered(torch.ones(4), ONE, 1.0), r"filtered: gain has the shape \(4,\)"),
    (lambda: field_mixture([FIELD, FIELD], torch.tensor([inf, 1.0])), r"weights: element \(0,\) is inf"),
    (lambda: field_mixture([FIELD, FIELD], torch.tensor([1j, 1.0])), "weights is complex"),
    (lambda: field_mixture([FIELD, 1]), "found a int"),  # pyright: ignore[reportArgumentType]
    (lambda: mixture([FIELD, FIELD], [nan, 1.0]), r"weights of a mixture: element \(0,\) is nan"),
    (lambda: mixture([FIELD, FIELD], [1.0]), "expected one for each of 2"),
    (lambda: mixture([FIELD, 1]), "found a int"),  # pyright: ignore[reportArgumentType]
    (lambda: mixture([]), "one denoiser or more"),
    (lambda: mixture([FIELD, gaussian_field(C, noise_cov=N)]), "compose in one space"),
    (lambda: mixture([FIELD, gaussian_field(Spectral.of(2 * ONE, PIXELS))]), "compose in one space"),
]


@pytest.mark.parametrize(("made", "message"), MADE)
def test_fields_and_mixtures_name_what_is_wrong(made: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made()


def test_an_axis_alone_has_a_border() -> None:
    held = boundary(0.0, SHAPE, axes=-1)
    assert held.operator(ONE[None]).shape == (1, 8)


def test_a_mask_is_not_broadcast_beyond_the_data() -> None:
    space = Euclidean((1, 4, 4))
    for shape in ((2, 3, 4, 4), (2, 4, 4)):
        with pytest.raises(InputError, match="does not fit data of shape"):
            space.with_mask(torch.ones(shape, dtype=torch.bool)).project(torch.ones(2, 1, 4, 4))


TOLD: list[tuple[dict[str, Any], str]] = [
    ({"channels": True}, "channels is True"),
    ({"conditions": ["a"]}, "conditions are .* expected a dictionary"),
    ({"conditions": {1: 1}}, "conditions are .* expected a dictionary"),
    ({"scalars": 3}, "scalars are 3"),
    ({"borders": None}, "borders are None"),
    ({"coordinates": "yes"}, "coordinates is 'yes'"),
    ({"mask": torch.ones(8, 8)}, "mask is tensor"),
    ({"static": torch.ones(0, 8, 8)}, r"static is torch.float32 of shape \(0, 8, 8\)"),
    ({"static": "land"}, "static is a str"),
]


@pytest.mark.parametrize(("told", "message"), TOLD)
def test_what_networks_of_fields_cannot_be_told_is_named(told: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Fields(**({"channels": 1} | told))  # pyright: ignore[reportArgumentType]
    assert Fields(1, static=np.ones((1, 8, 8))).inputs == 2  # pyright: ignore[reportArgumentType]

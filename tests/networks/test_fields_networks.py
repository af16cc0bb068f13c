"""Networks for fields: of any size, true to the borders, told of fields, numbers and places, and of what is missing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_networks import normal, stirred, times
from torch import Tensor, nn

from ornstein import Euclidean, Keys, NeuralDenoiser, Traits
from ornstein.errors import InputError
from ornstein.networks import Fields, PatchTransformer, PatchTransformerConfig, UNet, UNetConfig
from ornstein.training import checkpoints
from ornstein.training.batches import hide
from ornstein.training.datasets import Arrays
from ornstein.training.trainer import Trainer
from small_training import CONFIG
from worlds import rejected

UNET = UNetConfig(16, (1, 2), 1, (1,), patch=2)
PATCHES = PatchTransformerConfig(24, 1, 4, 4)
KINDS: dict[str, Callable[[Fields], nn.Module]] = {
    "unet": lambda fields: stirred(UNet(UNET, fields)),
    "patches": lambda fields: stirred(PatchTransformer(PATCHES, fields)),
}


def told(borders: tuple[str, ...] = ("reflect", "periodic"), **changes: Any) -> Fields:
    return Fields(2, {"coarse": 3}, {"lead": 1}, borders=borders, **changes)  # pyright: ignore[reportArgumentType]


def given(*grid: int, n: int = 2) -> dict[str, Tensor]:
    return {"coarse": normal(5, n, 3, *grid), "lead": normal(6, n, 1)}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[[Fields], nn.Module]:
    return lambda fields: KINDS[request.param](fields).eval()


# Borders ----------------------------------------------------------------------------------------------


def shifts_along(fields: Fields, axis: int, shift: int = UNET.factor, make: Any = KINDS["unet"]) -> None:
    """A network commutes with a shift along an axis of the grid."""
    network, grid = make(fields).double().eval(), (8, 16)
    x, about = normal(0, 2, 2, *grid).double(), given(*grid)
    about["coarse"][0, 1, 3, 4] = torch.nan
    rolled = {**about, "coarse": about["coarse"].roll(shift, 2 + axis)}
    expected = network(x, times(2), about).roll(shift, 2 + axis)
    torch.testing.assert_close(network(x.roll(shift, 2 + axis), times(2), rolled), expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_a_unet_commutes_with_shifts_along_periodic_axes() -> None:
    assert UNET.factor == 4
    for axis, borders in enumerate((("periodic", "zero"), ("reflect", "periodic"))):
        shifts_along(told(borders), axis)
        rejected(shifts_along, told(borders), 1 - axis)
        rejected(shifts_along, told(("zero", "zero")), axis)
        rejected(shifts_along, told(borders, coordinates=True), axis)
        rejected(shifts_along, told(borders), axis, 1)


# Sizes ------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("borders", [("zero", "zero"), ("reflect", "periodic")])
@pytest.mark.parametrize("grid", [(8, 8), (5, 9), (1, 3), (13, 4)])
def test_any_size(make: Any, borders: tuple[str, ...], grid: tuple[int, int]) -> None:
    network = make(told(borders, coordinates=True, mask=True))
    out = network(normal(0, 2, 2, *grid), times(2), given(*grid))
    assert out.shape == (2, 2, *grid)
    assert out.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("grid", [(10,), (5, 6, 7)])
def test_one_axis_and_three(grid: tuple[int, ...]) -> None:
    config = UNetConfig(16, (1, 2), 1, (1,))
    borders = ("periodic", "zero", "reflect")[: len(grid)]
    for network in (UNet(config, told(borders)), PatchTransformer(PATCHES, told(borders, coordinates=True))):
        out = stirred(network).eval()(normal(0, 2, 2, *grid), times(2), given(*grid))
        assert out.shape == (2, 2, *grid)
        assert out.abs().amax() > 0.01


@torch.no_grad()
def test_a_border_is_seen_in_padding_too(make: Any) -> None:
    """Where the factor does not divide an axis, the elements near its ends hear of those beyond."""
    networks = [make(told((border, "zero"))) for border in ("zero", "periodic", "reflect")]
    x, about = normal(0, 2, 2, 5, 8), given(5, 8)
    found = [network(x, times(2), about) for network in networks]
    assert all(not torch.allclose(found[a], found[b], atol=1e-4) for a, b in ((0, 1), (0, 2), (1, 2)))


@torch.no_grad()
def test_too_many_may_not_attend_to_each_other() -> None:
    few = UNetConfig(16, (1, 2), 1, (1,), attention_limit=16)
    with pytest.raises(InputError, match=r"the 4 × 8 = 32 pixels of level 1 would attend.*at most 16: leave out"):
        UNet(few, 2)(normal(0, 1, 2, 8, 16), times(1), {})
    network = PatchTransformer(PatchTransformerConfig(24, 1, 4, 2, attention_limit=16), 2)
    with pytest.raises(InputError, match=r"has 3 × 6 = 18 patches.*at most 16: take a larger transformer.patch"):
        network(normal(0, 1, 2, 5, 12), times(1), {})
    with pytest.raises(InputError, match="attention_limit is 0"):
        UNetConfig(attention_limit=0)


# What is said -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_everything_said_counts(make: Any) -> None:
    static = normal(9, 1, 1, 6, 7)[0]
    x, t, about = normal(0, 2, 2, 6, 7), times(2), given(6, 7)
    network = make(told(static=static, coordinates=True, mask=True))
    out = network(x, t, about)
    mask = torch.ones(2, 1, 6, 7, dtype=torch.bool)
    assert torch.equal(network(x, t, {**about, "mask": mask}), out)
    mask[:, :, 2, 3] = False
    for name, other in {"coarse": about["coarse"] + 1, "lead": about["lead"] + 1, "mask": mask}.items():
        assert not torch.allclose(network(x, t, {**about, name: other}), out, atol=1e-3), name
    other = make(told(static=static + 1, coordinates=True, mask=True))
    assert not torch.allclose(other(x, t, about), out, atol=1e-3)
    alone = network(x[:1], t[:1], {name: value[:1] for name, value in about.items()})
    torch.testing.assert_close(alone, out[:1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_is_missing_is_zero_and_said_to_be(make: Any) -> None:
    """A NaN changes nothing but its own element, is not the same as 0, and never gets through."""
    network, x, t, about = make(told(mask=True)), normal(0, 2, 2, 8, 8), times(2), given(8, 8)
    holes = about["coarse"].clone()
    holes[:, 1, 2:4] = torch.nan
    out = network(x, t, {**about, "coarse": holes})
    assert out.isfinite().all()
    assert not torch.allclose(network(x, t, {**about, "coarse": holes.nan_to_num()}), out, atol=1e-4)
    mask = torch.ones(2, 2, 8, 8, dtype=torch.bool)
    mask[:, 0, 3, 3] = False
    wrong = x.clone()
    wrong[:, 0, 3, 3] = torch.nan
    out = network(x, t, {**about, "mask": mask})
    assert torch.equal(network(wrong, t, {**about, "mask": mask}), out)  # what does not exist has no value
    wrong[1] = x[1]
    out = network(wrong, t, about)
    assert not out[0].isfinite().all()  # a state that is not finite where it exists shows, in its own sample only
    assert torch.allclose(out[1], network(x, t, about)[1], atol=1e-5)
    about["coarse"][1, 2, 0, 0] = torch.inf
    with pytest.raises(InputError, match=r"condition 'coarse' is inf at \(1, 2, 0, 0\)"):
        network(x, t, about)
    with pytest.raises(InputError, match=r"condition 'lead' is -inf at \(0, 0\)"):
        network(x, t, {**given(8, 8), "lead": torch.full((2, 1), -torch.inf)})


@torch.no_grad()
def test_nothing_said_is_missing_everywhere_at_any_size(make: Any) -> None:
    """A name left out, the value of one sample that stands for it, and NaN everywhere are the same."""
    fields = told()
    network = make(fields)
    model = NeuralDenoiser(network, Traits(Euclidean((2, 8, 8))), fields.unconditional)
    assert fields.unconditional["coarse"].numel() == 3
    for grid in ((8, 8), (5, 12)):
        x, t, about = normal(0, 2, 2, *grid), times(2), given(*grid)
        nothing = {"coarse": torch.full((2, 3, *grid), torch.nan), "lead": torch.full((2, 1), torch.nan)}
        out = model.output(x, t, {})
        assert torch.equal(out, model.output(x, t, nothing))
        assert torch.equal(network(x, t, {}), network(x, t, nothing))
        hidden = hide(about, model.unconditional, 1.0, Keys.of(0, 2))
        assert hidden["coarse"].shape == (2, 3, *grid)
        assert torch.equal(out, model.output(x, t, hidden))
        assert not torch.allclose(out, model.output(x, t, about), atol=1e-3)
        everywhere = torch.ones(2, 3, 1, 1)
        same = model.output(x, t, {"coarse": everywhere.expand(2, 3, *grid)})
        assert torch.equal(model.output(x, t, {"coarse": everywhere}), same)


def test_gradients_are_finite_and_reach_the_condition(make: Any) -> None:
    network, about = make(told(mask=True, coordinates=True)).train(), given(5, 6)
    about["coarse"][0, 1, 2] = torch.nan
    about["coarse"].requires_grad_()
    x = normal(0, 2, 2, 5, 6).requires_grad_()
    network(x, times(2), about).square().sum().backward()
    assert x.grad is not None
    assert about["coarse"].grad is not None
    for gradient in (x.grad, about["coarse"].grad, *(p.grad for p in network.parameters())):
        assert gradient.isfinite().all()
        assert gradient.any()
    assert not about["coarse"].grad[0, 1, 2].any()


@torch.no_grad()
def test_half_precision(make: Any) -> None:
    network, x, about = make(told(mask=True, coordinates=True)), normal(0, 2, 2, 8, 8), given(8, 8)
    about["coarse"][0, 1] = torch.nan
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x, times(2), about)
    out = network(x, times(2), about)
    assert (half.float() - out).abs().amax() < 0.05 * out.abs().amax()


# What is refused --------------------------------------------------------------------------------------

BAD: list[tuple[Mapping[str, Any], str]] = [
    ({"channels": 0}, "channels is 0, expected a whole number from 1"),
    ({"conditions": {"coarse": -1}}, r"conditions\['coarse'\] is -1"),
    ({"scalars": {"lead": 0}}, r"scalars\['lead'\] is 0"),
    ({"conditions": {"mask": 1}}, "cannot be called 'mask'"),
    ({"scalars": {"a": 1}, "conditions": {"a": 1}}, "cannot be called 'a'"),
    ({"borders": "zero"}, "borders are 'zero', expected for each of 1 to 3 axes one of zero, periodic, reflect"),
    ({"borders": ("zero", "wrap")}, "borders are .*'wrap'"),
    ({"borders": ("zero",) * 4}, "for each of 1 to 3 axes"),
    (
        {"static": torch.zeros(8, 8)},
        r"static is torch.float32 of shape \(8, 8\), expected real numbers \(channels, and 2",
    ),
    ({"static": torch.ones(1, 8, 8).long()}, "static is torch.int64"),
    ({"static": torch.full((1, 2, 2), torch.nan)}, r"static is nan at \(0, 0, 0\).*a channel beside"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_descriptions_that_cannot_be(change: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Fields(**{"channels": 1, **change})


@torch.no_grad()
@pytest.mark.parametrize(
    ("x", "condition", "message"),
    [
        ((2, 3, 8, 8), {}, r"the state has the shape \(2, 3, 8, 8\), expected \(batch, 2, any, any\)"),
        ((2, 2, 8), {}, r"shape \(2, 2, 8\), expected \(batch, 2, any, any\)"),
        ((2, 2, 0, 8), {}, "expected one element at least"),
        ((2, 2, 8, 8), {"coarse": (2, 4, 8, 8)}, r"'coarse' has the shape \(2, 4, 8, 8\), expected \(2, 3, 8, 8\)"),
        ((2, 2, 8, 8), {"coarse": (2, 3, 4, 8)}, r"expected \(2, 3, 8, 8\)"),
        ((2, 2, 8, 8), {"coarse": (2, 3, 1, 8)}, r"expected \(2, 3, 8, 8\)"),
        ((2, 2, 8, 8), {"coarse": (1, 3, 8, 8)}, r"expected \(2, 3, 8, 8\)"),
        ((2, 2, 8, 8), {"lead": (2, 2)}, r"'lead' has the shape \(2, 2\), expected \(2, 1\)"),
        ((2, 2, 8, 8), {"lead": (1, 1)}, r"expected \(2, 1\)"),
        (
            (2, 2, 8, 8),
            {"mask": (2, 1, 4, 8)},
            r"'mask' is torch.bool of shape .*expected booleans \(2, 1 or 2, 8, 8\)",
        ),
    ],
)
def test_sizes_that_do_not_fit(
    make: Any, x: tuple[int, ...], condition: dict[str, tuple[int, ...]], message: str
) -> None:
    said = {name: torch.ones(shape, dtype=torch.bool if name == "mask" else None) for name, shape in condition.items()}
    with pytest.raises(InputError, match=message):
        make(told(mask=True))(torch.zeros(x), times(2), said)


@torch.no_grad()
def test_more_that_does_not_fit(make: Any) -> None:
    x = torch.zeros(2, 2, 8, 8)
    with pytest.raises(InputError, match=r"expected \(batch, 2, 6, 7\), as the static fields have"):
        make(told(static=torch.zeros(1, 6, 7)))(x, times(2), {})
    with pytest.raises(InputError, match=r"not told of a mask.*mask=True"):
        make(told())(x, times(2), {"mask": torch.ones(2, 1, 8, 8, dtype=torch.bool)})
    with pytest.raises(InputError, match="'mask' is torch"):
        make(told(mask=True))(x, times(2), {"mask": torch.ones(2, 1, 8, 8)})
    with pytest.raises(InputError, match="expected a multiple of 6 for 3 axes"):
        PatchTransformer(PatchTransformerConfig(32, 1, 4), told(("zero", "zero", "zero")))


@torch.no_grad()
@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            {"coarse": torch.zeros(2, 4, 8, 8)},
            r"\(2, 4, 8, 8\), expected \(batch, 3 channels, any length, any length\)",
        ),
        ({"coarse": torch.zeros(2, 3, 8)}, r"\(2, 3, 8\), expected \(batch, 3 channels"),
        ({"coarse": torch.zeros(2, 1, 8, 8)}, r"\(2, 1, 8, 8\), expected \(batch, 3 channels"),
        (
            {"coarse": torch.zeros(2, 3, 8, 8).long()},
            "holds torch.int64, expected real numbers, of which NaN is not said",
        ),
        ({"lead": torch.zeros(2, 3)}, r"'lead' has the shape \(2, 3\), expected \(batch, 1\)"),
        ({"corse": torch.zeros(2, 3, 8, 8)}, "knows no condition 'corse', did you mean 'coarse'"),
    ],
)
def test_conditions_that_do_not_fit(condition: dict[str, Tensor], message: str) -> None:
    """They are refused by the denoiser, and before a training hides them."""
    fields = told()
    model = NeuralDenoiser(UNet(UNET, fields), Traits(Euclidean((2, 8, 8))), fields.unconditional)
    with pytest.raises(InputError, match=message):
        model(torch.zeros(2, 2, 8, 8), 0.5, condition)
    if "corse" not in condition:
        with pytest.raises(InputError, match=message):
            hide(condition, model.unconditional, 0.5, Keys.of(0, 2))


# Training ---------------------------------------------------------------------------------------------


FIELDS = Fields(
    1,
    {"coarse": 1},
    static=torch.linspace(-1, 1, 48).reshape(1, 6, 8),
    borders=("reflect", "periodic"),
    coordinates=True,
)


def small(fields: Fields) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet(UNetConfig(16, (1, 1), 1, ()), fields)


def records(n: int, seed: int) -> Arrays:
    """A field that is nearly what is said of it, where it is said."""
    keys = Keys.of(seed, n)
    coarse = keys.normal(1, 6, 8).float()
    x = coarse + 0.1 * keys.fold("noise").normal(1, 6, 8).float()
    coarse[:, :, :2] = torch.nan
    return Arrays(x, {"coarse": coarse})


def loss(model: NeuralDenoiser, condition: Mapping[str, Tensor]) -> float:
    x = records(64, 1).x
    with torch.no_grad():
        return model.losses(x, torch.linspace(0.1, 0.9, 64), condition, Keys.of(2, 64)).mean().item()


def test_training_on_fields_uses_the_condition(tmp_path: Path) -> None:
    """The loss falls, as it only can where something is said; what was saved is the model, static fields and all."""
    model = NeuralDenoiser(small(FIELDS), Traits(Euclidean((1, 6, 8))), FIELDS.unconditional)
    config = replace(CONFIG, steps=20, validate_every=20, save_every=20, condition_dropout=0.2)
    meta = {"domain": "tests", "name": "fields", "config": {}, "facts": {}}
    said = records(64, 1).condition
    before = loss(model, said)
    Trainer(model, records(200, 0), records(64, 1), config, tmp_path, meta).fit()
    after, unsaid = loss(model, said), loss(model, {})
    assert after < 0.8 * min(unsaid, before)
    weights, _ = checkpoints.load(tmp_path / "model.safetensors", "model")
    blank = small(replace(FIELDS, static=torch.zeros(1, 6, 8)))
    checkpoints.load_into(blank, weights, tmp_path)
    assert FIELDS.static is not None
    assert blank.static is not None
    assert torch.equal(blank.static, FIELDS.static)

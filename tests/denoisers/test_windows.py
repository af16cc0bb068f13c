"""Large fields by windows: weights sum to 1, beliefs and posteriors are those of the whole, and there are no seams."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import pi
from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from nets import Net
from ornstein import Categorical, Denoiser, Euclidean, InputError, Keys, NeuralDenoiser, Normal, Traits
from ornstein.denoisers.base import Condition, Guided, Origin, carry
from ornstein.denoisers.fields import GaussianField, gaussian_field
from ornstein.denoisers.tiles import Tiles, Tiling
from ornstein.denoisers.windows import Windowed, windowed
from ornstein.guidance.maps import Residual, Standardised
from ornstein.networks import UNet, UNetConfig
from ornstein.networks.fields import Fields
from ornstein.spectral.roots import Spectral, power_law
from ornstein.spectral.transforms import PIXELS, Orthogonal, Separable, periodic
from ornstein.states import State, Time
from ornstein.testing import check_denoiser
from worlds import MeanOnly, rejected, sequences

SHAPE, WINDOW = (24, 30), (12, 12)
CLOSED = ("periodic", "periodic")
SQUARES = UNetConfig(channels=8, multipliers=(1, 2), blocks=1, attention=())


def marginal(cov: Spectral, window: tuple[int, ...] = WINDOW) -> Spectral:
    """What a window sees of a stationary covariance, diagonal in a basis of its own."""
    n, corner = Tensor(window).prod().int().item(), (slice(None), *map(slice, window))
    fields = torch.zeros(int(n), *cov.shape, dtype=torch.float64)
    fields[corner] = torch.eye(int(n), dtype=torch.float64).reshape(-1, *window)
    variances, axes = torch.linalg.eigh(cov(fields)[corner].reshape(int(n), -1))
    return Spectral.of(variances.reshape(window), Orthogonal(axes))


@cache
def field(length: float = 1.5, shape: tuple[int, int] = SHAPE) -> GaussianField:
    """A periodic field whose correlations fall exponentially over a length."""
    return gaussian_field(power_law(shape, 3, periodic(), outer=1 / (2 * pi * length)))


@cache
def by_windows(overlap: int = 3, length: float = 1.5, shape: tuple[int, int] = SHAPE) -> Windowed:
    """The field by windows, of which each is believed exactly."""
    whole = field(length, shape)
    return windowed(gaussian_field(marginal(whole.cov)), shape, None, overlap, CLOSED, 64, whole.cov)


def unet(fields: Fields, window: tuple[int, int] = (8, 8), **traits: Any) -> NeuralDenoiser:
    """A network of random weights, none of them 0."""
    torch.manual_seed(0)
    network = UNet(SQUARES, fields).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    space = Euclidean((fields.channels, *window), data_std=0.5)
    return NeuralDenoiser(network.requires_grad_(False), Traits(space, **traits), fields.unconditional)


# Weights ----------------------------------------------------------------------------------------------


def assert_partition(tiles: Tiles) -> None:
    """Weights sum to 1 to round-off, of windows that lie in the field, cover it, and overlap as they should."""
    place = torch.tensor(tiles.starts)[:, None] + torch.arange(tiles.window)
    total = torch.zeros(tiles.length).double()
    total.index_add_(0, (place % tiles.length).flatten(), tiles.weights.flatten())
    assert torch.allclose(total, torch.ones_like(total), rtol=0, atol=4e-16 * len(tiles.starts))
    assert (tiles.weights >= 0).all()
    ends = [*tiles.starts[1:], *([tiles.length] if tiles.wraps else [])]
    pairs = zip(tiles.starts, ends, strict=False)
    assert all(start + tiles.window - following >= tiles.overlap for start, following in pairs)
    assert tiles.wraps or (tiles.starts[0] == 0 and tiles.starts[-1] + tiles.window == tiles.length)


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("window", [1, 2, 5, 8])
def test_weights_sum_to_one_at_any_length(window: int, wraps: bool) -> None:
    for length in range(window + (wraps and window == 1), 40):
        for overlap in range(window):
            if not wraps or length > window or overlap:
                assert_partition(Tiles(length, window, overlap, wraps))


def test_weights_rise_smoothly_and_not_at_the_ends() -> None:
    weights = Tiles(20, 8, 4).weights
    assert weights[0, 0] == 1 == weights[-1, -1]
    assert weights[1, 0] < 0.05 < 0.95 < weights[1, 3]
    assert torch.allclose(weights[0, 4:], (pi / 2 * (torch.arange(4).double() + 0.5) / 4).cos() ** 2)
    assert (Tiles(24, 8, 0).weights == 1).all()


@pytest.mark.parametrize("wraps", [False, True])
def test_blending_is_the_adjoint_of_cutting(wraps: bool) -> None:
    tiling = Tiling((Tiles(2, 2, 0), Tiles(11, 4, 1, wraps), Tiles(7, 7, 3, wraps)))
    x, key = Keys.of(0, 2).normal(2, 11, 7), Keys.of(1, 2)
    total, inner = torch.zeros(()), 0.0
    for k, window in enumerate(tiling.windows):
        seen, y = tiling.taken(tiling.unrolled(x), window), key.fold(k).normal(*tiling.window)
        total = total if k else tiling.nothing(y)
        tiling.taken(total, window).add_(y)
        inner += float((seen * y).sum())
    assert abs(float((tiling.folded(total) * x).sum()) - inner) < 1e-10 * abs(inner)


# Beliefs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shrunk(Denoiser):
    """White data: what each element says of itself is all that there is to know."""

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        carry(self, Traits(Euclidean(self.shape)))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        assert isinstance(self.space, Euclidean)
        return self.space.belief(torch.zeros_like(x_t), x_t, t)


@pytest.mark.parametrize(
    ("window", "shape", "borders"),
    [
        ((7,), (23,), ("zero",)),
        ((2, 6), (2, 17), ("periodic",)),
        ((1, 4, 5), (1, 9, 5), ("reflect", "periodic")),
        ((2, 3, 4, 2), (2, 7, 4, 5), ("zero", "periodic", "zero")),
    ],
)
def test_white_fields_of_any_axes_are_believed_exactly(window: Any, shape: Any, borders: Any) -> None:
    many, whole = windowed(Shrunk(window), shape, borders=borders, overlap=1), Shrunk(shape)
    x, t = Keys.of(1, 3).normal(*shape), torch.tensor([0.2, 0.5, 0.9])
    assert torch.allclose(many(x, t).mean, whole(x, t).mean, rtol=0, atol=1e-14)
    assert torch.allclose(many(x.float(), t).mean, whole(x.float(), t).mean, rtol=0, atol=1e-6)
    assert check_denoiser(many) > 5
    by_place = torch.linspace(0.1, 0.9, 3 * shape[0]).reshape(3, -1)
    assert torch.allclose(many(x, by_place).mean, whole(x, by_place).mean, rtol=0, atol=1e-14)


def assert_near_the_whole(denoiser: Windowed, most: float) -> None:
    """The blended mean is off by at most so many posterior standard deviations, root mean square, at any noise."""
    whole = field(1.0)
    for t in (0.2, 0.4, 0.6, 0.8):
        x = whole.space.noise(whole.draw(Keys.of(1, 4)).double(), t, Keys.of(2, 4))
        std = whole.field.gaussian_cov(t, x).variance.mean().sqrt()
        off = float((denoiser(x, t).mean - whole(x, t).mean).square().mean().sqrt() / std)
        assert off < most, f"{off:.3f} at t = {t}"


def test_the_belief_is_that_of_the_whole() -> None:
    assert_near_the_whole(by_windows(3, 1.0), 0.025)
    assert_near_the_whole(by_windows(6, 1.0), 0.016)
    rejected(assert_near_the_whole, by_windows(1, 1.0), 0.025)
    rejected(assert_near_the_whole, by_windows(0, 1.0), 0.08)


def assert_without_seams(x: Tensor, denoiser: Windowed, most: float = 0.03) -> None:
    """Jumps across the edges of windows are as large as others, within 4.5 standard errors and so much."""
    ratio = denoiser.seams(x).mean(1)
    off = abs(float(ratio.mean()) - 1)
    assert off < most + 4.5 * float(ratio.std()) / len(ratio) ** 0.5, f"off by {off:.3f}"


def test_samples_have_no_seams() -> None:
    whole = field().draw(Keys.of(4, 24))
    x = {overlap: on.sample(by_windows(overlap), 24, steps=8).x for overlap in (0, 3)}
    assert_without_seams(whole, by_windows(3), 0.0)
    assert_without_seams(x[3], by_windows(3))
    rejected(assert_without_seams, x[0], by_windows(0), 0.5)
    assert_without_seams(x[3], replace(by_windows(3), tiling=by_windows(0).tiling))  # nor anywhere else


def test_waves_longer_than_a_window_are_lost_in_noise() -> None:
    """The limit of the method, as it is documented: what shows only far beyond a window is not believed."""
    shape = (48, 48)
    whole, many = field(6.0, shape), by_windows(6, 6.0, shape)
    place = 2 * pi / 48 * torch.arange(48).double()

    def share(waves: int, t: float) -> float:
        """Of a wave, how much is believed by windows over how much is by the whole."""
        x = (waves * place).cos().expand(1, *shape)
        return float((many(x, t).mean * x).sum() / (whole(x, t).mean * x).sum())

    assert share(1, 0.7) == pytest.approx(1, abs=0.02)
    assert share(8, 0.7) == pytest.approx(1, abs=0.03)
    assert share(1, 0.95) < 0.75


def test_the_covariance_is_symmetric_not_negative_and_that_of_the_whole() -> None:
    shape, t = (15, 12), 0.4
    whole, many = field(1.0, shape), by_windows(3, 1.0, shape)
    eye = torch.eye(180, dtype=torch.float64).reshape(180, *shape)
    x = whole.space.noise(whole.draw(Keys.of(1, 1)).double(), t, Keys.of(2, 1)).expand(180, *shape)
    by_gradients = replace(many, denoiser=MeanOnly(many.denoiser))  # by Tweedie's formula, as of a network
    beliefs: list[Any] = [one(x, t) for one in (whole, many, by_gradients)]
    c, found, tweedie = (belief.cov(eye).reshape(180, 180) for belief in beliefs)
    assert torch.allclose(found, tweedie, atol=1e-10)
    assert torch.allclose(found, found.T, atol=1e-12)
    assert torch.linalg.eigvalsh(found)[0] > 0
    assert float((found - c).norm() / c.norm()) < 0.04
    assert float((found.diagonal() / c.diagonal() - 1).abs().max()) < 0.02


def test_the_blended_mean_can_be_differentiated() -> None:
    """Though windows are forgotten and looked at again: once, and twice."""
    model = NeuralDenoiser(Net(16), Traits(Euclidean((1, 4, 4))))
    many = windowed(model, (1, 7, 6), overlap=2, borders=("zero", "periodic"), batch=3)
    x, v = Keys.of(1, 2).normal(1, 7, 6).float(), Keys.of(2, 2).normal(1, 7, 6).float()

    def plain(x: Tensor) -> Tensor:
        seen, total = many._seen(x, 0.5, {}), torch.zeros(())
        for window in many.tiling.windows:
            at = torch.zeros(2, 1, 7, 8)
            (part,) = many.weighted_means(seen, [window])
            at[:, :, many.tiling.axes[1].starts[window[1]] :, many.tiling.axes[2].starts[window[2]] :][:, :, :4, :4] = (
                1.0
            )
            total = total + torch.zeros(2, 1, 7, 8).masked_scatter(at.bool(), part)
        return many.tiling.folded(total)

    def products(function: Any) -> tuple[Tensor, Tensor, Tensor]:
        at = x.clone().requires_grad_()
        mean = function(at)
        (once,) = torch.autograd.grad((mean * v).sum(), at, create_graph=True)
        (twice,) = torch.autograd.grad((once * v).sum(), at)
        return mean, once, twice

    for found, expected in zip(products(lambda x: many(x, 0.5).mean), products(plain), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def test_gradients_reach_conditions_times_and_weights() -> None:
    model = unet(TOLD)
    model.network.requires_grad_(True)
    x, v = Keys.of(1, 2).normal(1, 8, 14).float(), Keys.of(2, 2).normal(1, 8, 14).float()
    coarse, day = Keys.of(3, 2).normal(2, 8, 14).float(), torch.tensor([[0.3], [0.1]])
    many = windowed(model, (1, 8, 14), overlap=2, batch=2)

    def gradients(function: Any) -> tuple[Tensor, ...]:
        said, t = [one.clone().requires_grad_() for one in (coarse, day)], torch.tensor([0.2, 0.6]).requires_grad_()
        mean = function(x, t, dict(zip(("coarse", "day"), said, strict=True)))
        return torch.autograd.grad((mean * v).sum(), [*said, t, *model.network.parameters()], allow_unused=True)

    def plain(x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        parts = [
            model(x[..., part], t, {**condition, "coarse": condition["coarse"][..., part]}).mean
            for part in (slice(0, 8), slice(6, 14))
        ]
        left, right = many.tiling.axes[2].weights.float()
        return torch.cat([parts[0] * left, torch.zeros(2, 1, 8, 6)], -1) + torch.cat(
            [torch.zeros(2, 1, 8, 6), parts[1] * right], -1
        )

    for found, expected in zip(gradients(lambda *seen: many(*seen).mean), gradients(plain), strict=True):
        assert (found is None) == (expected is None)
        assert found is None or torch.allclose(found, expected, rtol=1e-3, atol=1e-4)


def kept(denoiser: Denoiser, derived: Any) -> int:
    """The most bytes alive at once of what autograd keeps of the network, of a look from which something is derived."""
    alive = most = 0

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal alive, most
            self.of = tensor.detach()
            alive += tensor.nbytes
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= self.of.nbytes

    x = Keys.of(0, 1).normal(*denoiser.space.shape).float().requires_grad_()  # type: ignore[attr-defined]
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.of):
        derived(on.with_covariance(denoiser, x, 0.5), x)
    return most


DERIVED: dict[str, Any] = {
    "a product with the covariance": lambda belief, x: belief.covary(torch.ones_like(x)),
    "the gradient of the mean": lambda belief, x: torch.autograd.grad(belief.mean.sum(), x),
}


@pytest.mark.parametrize("derived", DERIVED)
def test_what_gradients_keep_does_not_grow_with_the_field(derived: str) -> None:
    model = unet(Fields(1))
    small, large = (kept(windowed(model, (1, 14, side), overlap=2, batch=2), DERIVED[derived]) for side in (14, 86))
    assert small <= large <= 1.1 * small
    assert kept(model.having(space=Euclidean((1, 14, 86))), DERIVED[derived]) > max(4 * small, 500_000)  # as a whole


def nodes(mean: Tensor) -> int:
    """How many operations autograd remembers."""
    found, todo = set(), [mean.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found.add(node)
            todo += [before for before, _ in node.next_functions]
    return len(found)


def test_the_graph_of_the_mean_does_not_grow_with_the_field() -> None:
    """Nor do the operations, which take memory though they keep no tensors."""
    means = []
    for side in (14, 38):
        many = windowed(unet(Fields(1)), (1, 14, side), overlap=2, batch=2)
        means.append(many(Keys.of(0, 1).normal(1, 14, side).float().requires_grad_(), 0.5).mean)
    assert nodes(means[0]) == nodes(means[1]) < 10


# Posteriors -------------------------------------------------------------------------------------------


def posterior(whole: GaussianField, seen: Tensor, y: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Mean and variances of the field given some of its values, by Gauss: kriging."""
    rows = torch.zeros(int(seen.sum()), *seen.shape, dtype=torch.float64)
    rows[:, seen] = torch.eye(len(rows), dtype=torch.float64)
    gain = whole.cov(rows)
    system = gain[:, seen] + noise**2 * torch.eye(len(rows)).double()
    mean = torch.einsum("m,mhw->hw", torch.linalg.solve(system, y.double()), gain)
    explained = torch.einsum("mhw,mn,nhw->hw", gain, system.inverse(), gain)
    return mean, whole.cov.variance.mean() - explained


SMALL = (18, 18)


def sensors(shape: tuple[int, int] = SHAPE) -> tuple[Tensor, Tensor]:
    """Places, and what is measured there."""
    seen = torch.zeros(shape, dtype=torch.bool)
    seen[::6, 1::6] = True
    truth = field(1.5, shape).draw(Keys.of(11, 1))[0]
    return seen, truth[seen] + 0.1 * Keys.of(12, 1).normal(int(seen.sum()))[0].float()


def assert_kriging(denoiser: Denoiser, n: int = 32, most: float = 0.15) -> None:
    """The mean of samples is that of kriging but for their own error, and so is their spread."""
    seen, y = sensors(SMALL)
    mean, variance = posterior(field(1.5, SMALL), seen, y, 0.1)
    x = on.sample(denoiser & on.Measurement(y, on.operators.Mask(seen), 0.1), n, steps=10).x.double()
    off = float((x.mean(0) - mean).square().mean() - (variance / n).mean())
    assert off < (most * float(variance.mean().sqrt())) ** 2, f"mean off by {off:.4f}"
    assert float((x.var(0).mean() / variance.mean()).sqrt()) == pytest.approx(1, abs=0.05)
    at_sensors = float(((x - mean)[:, seen] ** 2 / variance[seen]).mean())
    assert 0.6 < at_sensors < 1.5, f"squared errors at the sensors are {at_sensors:.2f} of what they should be"


@dataclass(frozen=True)
class Unsure(Guided):
    """Broken: twice as unsure of the field as it should be."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        belief: Any = self.denoiser(x_t, t, condition)
        return Normal(belief.mean, lambda v: 4 * belief.cov(v))


@pytest.mark.slow
def test_sensors_on_the_large_field_give_krigings_posterior() -> None:
    assert_kriging(by_windows(4, 1.5, SMALL))
    rejected(assert_kriging, Unsure(by_windows(4, 1.5, SMALL)))


def test_one_look_given_sensors_is_that_of_the_whole() -> None:
    seen, y = sensors()
    factor, whole = on.Measurement(y, on.operators.Mask(seen), 0.1), field()
    x = whole.space.noise(whole.draw(Keys.of(11, 2)).double(), 0.5, Keys.of(2, 2))
    found, exact = (one & factor for one in (replace(by_windows(4), denoiser=MeanOnly(by_windows(4).denoiser)), whole))
    off = found(x, 0.5).mean - exact(x, 0.5).mean
    assert float(off.square().mean().sqrt()) < 0.03 * float(whole.field.gaussian_cov(0.5, x).variance.mean().sqrt())


# Conditions -------------------------------------------------------------------------------------------

TOLD = Fields(1, {"coarse": 2}, {"day": 1}, borders=("zero", "zero"), mask=True)


def test_one_window_is_the_model_itself() -> None:
    model = unet(TOLD)
    condition = {"coarse": Keys.of(3, 2).normal(2, 8, 8).float(), "day": torch.tensor([[0.3], [torch.nan]])}
    x = Keys.of(1, 2).normal(1, 8, 8).float()
    one = windowed(model, (1, 8, 8), overlap=4)
    assert len(one.tiling.windows) == 1
    assert torch.equal(one(x, 0.4, condition).mean, model(x, 0.4, condition).mean)


def test_windows_see_their_part_of_fields_and_all_of_the_rest() -> None:
    model = unet(TOLD)
    coarse = Keys.of(3, 2).normal(2, 8, 20).float()
    coarse[0, 1, 2, 3], coarse[:, :, :, 13:] = torch.nan, torch.nan
    mask = torch.ones(2, 1, 8, 20, dtype=torch.bool)
    mask[1, :, :4] = False
    condition = {"coarse": coarse, "day": torch.tensor([[0.3], [torch.nan]]), "mask": mask}
    x = Keys.of(1, 2).normal(1, 8, 20).float()
    many = windowed(model, (1, 8, 20), overlap=(0, 2), batch=4)
    assert many.tiling.axes[2].starts == (0, 6, 12)
    mean = many(x, 0.4, condition).mean
    for start in (0, 6, 12):
        part = slice(start, start + 8)
        cut = {**condition, "coarse": coarse[..., part], "mask": mask[..., part]}
        inner = slice(start + 2 * (start > 0), start + 8 - 2 * (start < 12))
        alone = model(x[..., part], 0.4, cut).mean[..., inner.start - start : inner.stop - start]
        assert torch.allclose(mean[..., inner], alone, atol=1e-6)
    assert not mean[1, :, :4].any()
    everywhere = coarse[..., :1, :1]
    as_fields = {**condition, "coarse": everywhere.expand_as(coarse)}
    assert torch.equal(many(x, 0.4, {**condition, "coarse": everywhere}).mean, many(x, 0.4, as_fields).mean)
    nothing = many(x, 0.4, {"mask": mask}).mean
    assert torch.equal(nothing, many(x, 0.4, {"mask": mask, "coarse": torch.full_like(coarse, torch.nan)}).mean)


def test_how_many_windows_are_seen_together_changes_nothing() -> None:
    model, x = unet(Fields(1)), Keys.of(1, 3).normal(1, 19, 13).float()
    means = [windowed(model, (1, 19, 13), overlap=3, batch=batch)(x, 0.4).mean for batch in (1, 7, 1000)]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairwise(means))


def test_a_network_of_fields_takes_windows_of_any_size() -> None:
    many = windowed(unet(Fields(1)), (1, 30, 30), window=(14, 11))
    assert many.tiling.window == (1, 14, 11)
    assert many(Keys.of(1, 1).normal(1, 30, 30).float(), 0.4).mean.shape == (1, 1, 30, 30)


def test_a_state_that_is_not_finite_shows_where_windows_see_it() -> None:
    x = Keys.of(1, 2).normal(1, 8, 40).float()
    x[1, 0, 0, 0] = torch.nan
    mean = windowed(unet(Fields(1)), (1, 8, 40), overlap=2)(x, 0.4).mean
    assert mean[1, ..., 0].isnan().all()
    assert mean[0].isfinite().all()
    assert mean[1, ..., 8:].isfinite().all()


def test_what_is_known_is_said_of_the_physical_field() -> None:
    """A map of the model's is one of the large field, and one can be put on."""
    model = unet(Fields(1), map=Standardised(torch.tensor([3.0]), 2.0))
    many, where = windowed(model, (1, 8, 20), overlap=2), torch.zeros(1, 8, 20, dtype=torch.bool)
    where[0, 2, 5:8] = True
    x = on.sample(many & on.Fixed(torch.full((1, 8, 20), 5.0), where), 1, steps=3).x
    assert torch.allclose(x[:, where], torch.tensor(5.0), atol=1e-4)
    lifted = on.mapped(windowed(unet(Fields(1)), (1, 8, 20), overlap=2), Residual("base", 1.0))
    base = {"base": torch.full((2, 1, 8, 20), 7.0)}
    high, low = (on.sample(lifted, 2, steps=3, condition=one).x for one in (base, {"base": 0 * base["base"]}))
    assert torch.allclose(high - 7, low, atol=1e-5)
    with pytest.raises(InputError, match="does not line up"):
        windowed(unet(Fields(1), map=Standardised(torch.zeros(1, 8, 8), 2.0)), (1, 8, 20))


def test_the_cost_of_a_call_is_that_of_its_windows() -> None:
    many = windowed(unet(Fields(1)), (1, 8, 20), overlap=2)
    assert many.calls == 3
    assert on.sample(many, 1, steps=4).nfe == 12
    assert "3 windows" in repr(many)


def test_the_manifest_says_how_the_windows_lie() -> None:
    model = unet(Fields(1), origin=Origin("tests", "fields", {}, {"units": "m"}, ""))
    origin: Any = on.sample(windowed(model, (1, 8, 20), overlap=2), 1, steps=2).origin
    assert origin.record()["facts"] == {
        "units": "m",
        "windows": [
            {"length": 1, "window": 1, "overlap": 0, "periodic": False},
            {"length": 8, "window": 8, "overlap": 0, "periodic": False},
            {"length": 20, "window": 8, "overlap": 2, "periodic": False},
        ],
    }


# Categories -------------------------------------------------------------------------------------------


def test_long_sequences_are_believed_by_windows() -> None:
    """Probabilities are blended: exact where windows lie as the parts that know nothing of each other."""
    model = sequences("masked")  # of two letters that depend on each other
    many = windowed(model, (6,), overlap=0)
    x = torch.tensor([[0, 3, 3, 3, 2, 1], [3, 1, 3, 3, 3, 3]])
    belief: Any = many(x, 0.5)
    parts = torch.cat([model(x[:, k : k + 2], 0.5).mean for k in (0, 2, 4)], 1)
    assert torch.allclose(belief.mean, parts.to(belief.mean), atol=1e-6)
    overlapping = windowed(model, (7,), overlap=1)
    assert torch.allclose(overlapping(torch.full((1, 7), 3), 0.5).mean.sum(-1), torch.ones(1, 7).to(belief.mean))
    drawn = on.sample(overlapping, 5, steps=8).x
    assert drawn.shape == (5, 7)
    assert (drawn < 3).all()


# Noise ------------------------------------------------------------------------------------------------


def test_noise_of_the_whole_has_the_models_as_its_marginal() -> None:
    noise = power_law(SHAPE, 1, periodic(), outer=0.2)
    whole = gaussian_field(field().cov, noise_cov=noise)
    cov = marginal(noise)
    vectors = cov.basis.matrix  # pyright: ignore[reportAttributeAccessIssue]
    model = _Coloured(Euclidean(WINDOW, noise_cov=cov), marginal(field().cov), vectors)
    many = windowed(model, SHAPE, overlap=5, borders=CLOSED, noise_cov=noise, batch=64)
    x = whole.space.noise(whole.draw(Keys.of(1, 4)).double(), 0.5, Keys.of(2, 4))
    std = whole.field.gaussian_cov(0.5, x).variance.mean().sqrt()
    assert float((many(x, 0.5).mean - whole(x, 0.5).mean).square().mean().sqrt() / std) < 0.02
    with pytest.raises(InputError, match="they differ by"):
        windowed(model, SHAPE, borders=CLOSED, noise_cov=power_law(SHAPE, 1, periodic(), outer=0.3))
    with pytest.raises(InputError, match="white: they differ by"):
        windowed(Shrunk(WINDOW), SHAPE, borders=CLOSED, noise_cov=noise)
    with pytest.raises(InputError, match="not the same for all windows along axis 0"):
        windowed(model, SHAPE, borders=CLOSED, noise_cov=power_law(SHAPE, 1, Separable(("sine", "fourier"))))
    with pytest.raises(InputError, match="which no noise of a larger field is"):
        windowed(model, SHAPE, borders=CLOSED)


@dataclass(frozen=True)
class _Coloured(Denoiser):
    """A Gaussian window, exactly, by dense algebra: data and noise are diagonal in no common basis."""

    field: Euclidean
    cov: Spectral
    vectors: Tensor

    def __post_init__(self) -> None:
        carry(self, Traits(self.field))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        assert self.field.noise_cov is not None
        eye = torch.eye(144, dtype=torch.float64).reshape(144, *WINDOW)
        data, noise = (cov(eye).reshape(144, 144) for cov in (self.cov, self.field.noise_cov))
        alpha, sigma = (
            float(level(torch.tensor(t))) for level in (self.field.schedule.alpha, self.field.schedule.sigma)
        )
        gain = alpha * torch.linalg.solve(alpha**2 * data + sigma**2 * noise, data)
        return Normal((x_t.flatten(1) @ gain).reshape(x_t.shape))


def test_scales_that_are_the_same_all_over_a_window_are_so_all_over_the_field() -> None:
    scale = torch.tensor([1.0, 4.0]).reshape(2, 1, 1)
    noise = Spectral.of(scale.expand(2, 4, 4), PIXELS)
    model = NeuralDenoiser(Net(32), Traits(Euclidean((2, 4, 4), data_std=scale, noise_cov=noise)))
    space: Any = windowed(model, (2, 9, 4)).space
    assert torch.equal(space.data_std.expand(2, 9, 4), scale.expand(2, 9, 4))
    assert torch.equal(space.noise_cov.variance[0], scale.double().expand(2, 9, 4))
    uneven = torch.linspace(1, 2, 4).reshape(1, 4, 1).expand(2, 4, 4)
    along = NeuralDenoiser(Net(32), Traits(Euclidean((2, 4, 4), data_std=uneven)))
    assert torch.equal(windowed(along, (2, 4, 9)).space.data_std, uneven[..., :1].expand(2, 4, 9))  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="give data_std="):
        windowed(along, (2, 9, 4))
    assert windowed(along, (2, 9, 4), data_std=0.7).space.data_std == 0.7  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="data_std is -1"):
        windowed(along, (2, 9, 4), data_std=-1.0)


# What cannot be ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (1, 20)}, r"shape is \(1, 20\), expected 3 axes"),
        ({"shape": (1, 20, 7)}, "7 on axis 2; expected at least 8, a window"),
        ({"shape": (2, 20, 20)}, "2 on axis 0; expected 1 channels"),
        ({"overlap": 8}, "from 0 to 7, less than a window"),
        ({"overlap": (2, 9)}, "9 on axis 1 of the grid"),
        ({"overlap": -1}, "overlap is -1"),
        ({"overlap": (1, 2, 3)}, "one an axis of the grid"),
        ({"window": (8, 8, 8)}, "expected 2 lengths"),
        ({"window": (0, 8)}, "window is"),
        ({"window": (8, 24)}, "expected at least 24"),
        ({"borders": ("zero",)}, "borders are"),
        ({"borders": "periodic"}, "borders are 'periodic'"),
        ({"borders": ("zero", "open")}, "zero, periodic, reflect"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": True}, "batch is True"),
    ],
)
def test_windows_that_cannot_be_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        windowed(unet(Fields(1)), **{"shape": (1, 20, 20), **options})


def test_models_that_have_no_windows_are_named() -> None:
    with pytest.raises(InputError, match="static fields are those of one window"):
        windowed(unet(Fields(1, static=torch.zeros(1, 8, 8))), (1, 20, 20))
    with pytest.raises(InputError, match="coordinates are those within a window"):
        windowed(unet(Fields(1, coordinates=True)), (1, 20, 20))
    with pytest.raises(InputError, match="border of axis 2 is periodic"):
        windowed(unet(Fields(1, borders=CLOSED)), (1, 8, 20))
    assert windowed(unet(Fields(1, borders=("zero", "periodic"))), (1, 20, 8), borders=("zero", "periodic")).calls == 3
    with pytest.raises(InputError, match="Centered states has no windows"):
        windowed(NeuralDenoiser(Net(6), Traits(on.Centered((2, 3)))), (4, 3))
    with pytest.raises(InputError, match="Product states has no windows"):
        windowed(NeuralDenoiser(Net(6), Traits(on.Product({"a": Euclidean((2, 3))}))), (4, 3))
    with pytest.raises(InputError, match="guide the large field"):
        windowed(unet(Fields(1)) & on.Fixed(torch.zeros(1, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)), (1, 20, 20))
    with pytest.raises(InputError, match="only networks of fields"):
        windowed(Shrunk((1, 8, 8)), (1, 20, 20), window=(10, 10))
    letters = sequences("uniform")
    assert isinstance(letters.space, Categorical)
    with pytest.raises(InputError, match="this model is of categories"):
        windowed(letters, (6,), data_std=1.0)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"coarse": torch.zeros(2, 2, 8, 8)}, r"expected \(batch, channels, 8, 20\), as the large field has"),
        ({"coarse": torch.zeros(1, 2, 8, 20)}, "expected 2 values"),
        ({"coarse": torch.zeros(2, 3, 8, 20)}, "condition 'coarse'"),
        ({"mask": torch.ones(2, 1, 8, 8, dtype=torch.bool)}, "does not fit"),
        ({"fine": torch.zeros(2, 2, 8, 20)}, "knows no condition 'fine'"),
    ],
)
def test_conditions_that_do_not_fit_are_named(condition: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        windowed(unet(TOLD), (1, 8, 20))(torch.zeros(2, 1, 8, 20), 0.5, condition)


def test_seams_are_told_of_large_fields() -> None:
    x = torch.zeros(1, 1, 8, 20)
    x[..., 10:] = 1.0  # a step, where no window ends or starts
    many = windowed(unet(Fields(1)), (1, 8, 20), overlap=0)
    assert many.tiling.axes[2].starts == (0, 6, 12)
    x = x + 0.1 * torch.arange(20)
    at_edges = (4 * 0.1**2) / 4
    assert torch.allclose(many.seams(x), torch.tensor([[at_edges / ((14 * 0.1**2 + 1.1**2) / 15)]]).double())
    with pytest.raises(InputError, match="one window, which has none"):
        windowed(unet(Fields(1)), (1, 8, 8)).seams(x[..., :8])
    with pytest.raises(InputError, match="expected"):
        many.seams(x[..., :8])


def test_states_of_another_size_are_named() -> None:
    with pytest.raises(InputError, match=r"state has the shape \(2, 1, 8, 8\), expected \(batch"):
        windowed(unet(TOLD), (1, 8, 20))(torch.zeros(2, 1, 8, 8), 0.5)

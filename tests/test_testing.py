"""The public conformance checks pass on the parts of the package, count what they check, reject broken twins."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Belief, Normal
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.denoisers.composition import ClassifierFreeGuidance
from ornstein.errors import InputError
from ornstein.guidance.classifiers import ClassifierGuidance, NoisyClassifierGuidance
from ornstein.guidance.factors import Energy, Factor
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Blur, Downsample, Fourier, Mask, Matrix, Operator
from ornstein.keys import Keys
from ornstein.sampling.kernels import Predictor, SamplerState
from ornstein.schedules import SCHEDULES, Cosine, Schedule
from ornstein.spaces import Categorical, Centered, Euclidean, Product, Space
from ornstein.states import State, Time, map_state
from ornstein.testing import check_denoiser, check_factor, check_kernel, check_operator, check_schedule, check_space
from worlds import RATES, TooLoose, anisotropic, coupled, sequences

KEYS = Keys.of(11, 3)
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
TOKENS = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 0], [1, 0, 2, 0]])
POINTS = Centered((4, 2)).with_mask(MASK).project(KEYS.normal(4, 2).float())
RATE = RATES - torch.diag(RATES.sum(1))
MOLECULES = Product({"positions": Centered((4, 2)), "atoms": Categorical.masked((4,), 3)})


# Schedules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_conform(name: str) -> None:
    assert check_schedule(SCHEDULES[name]()) == 8


@dataclass(frozen=True)
class Residual(Cosine):
    """Leaves a little noise at t = 0."""

    def _sigma(self, t: Tensor) -> Tensor:
        return super()._sigma(t) + 0.01


@dataclass(frozen=True)
class Bumpy(Cosine):
    """The signal comes and goes."""

    def _alpha(self, t: Tensor) -> Tensor:
        return super()._alpha(t) * (1 + 0.5 * (20 * t).sin() * t * (1 - t))


@dataclass(frozen=True)
class Weak(Cosine):
    """Never forgets the data."""

    def _alpha(self, t: Tensor) -> Tensor:
        return 1 - 0.5 * t


@pytest.mark.parametrize(
    ("broken", "sentence"), [(Residual(), "clean at t = 0"), (Bumpy(), "never grows"), (Weak(), "outweighs")]
)
def test_broken_schedules_are_rejected(broken: Schedule, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_schedule(broken)


# Spaces -----------------------------------------------------------------------------------------------

CASES: dict[str, tuple[Space, Any, dict[str, Any], int]] = {
    "euclidean": (Euclidean((4, 2)), KEYS.normal(4, 2).float(), {"positions": (4,)}, 28),
    "euclidean, masked": (Euclidean((4, 2)), KEYS.normal(4, 2).float() * MASK[..., None], {"mask": MASK}, 31),
    "centered": (Centered((4, 2)), Centered((4, 2)).project(KEYS.normal(4, 2).float()), {}, 25),
    "centered, masked": (Centered((4, 2)), POINTS, {"mask": MASK}, 31),
    "masked": (Categorical.masked((4,), 3), TOKENS, {"positions": (4,)}, 28),
    "uniform": (Categorical.uniform((4,), 3), TOKENS, {"mask": MASK, "positions": (4,)}, 34),
    "substitution": (Categorical.substitution((4,), RATE), TOKENS, {"mask": MASK}, 31),
    "product": (MOLECULES, {"positions": POINTS, "atoms": TOKENS}, {"mask": MASK}, 32),
}


@pytest.mark.parametrize("case", CASES)
def test_spaces_conform(case: str) -> None:
    space, x0, options, count = CASES[case]
    assert check_space(space, x0, **options) == count


class Sequential(Euclidean):
    """Draws one stream for the whole batch."""

    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Tensor:
        assert isinstance(x0, Tensor)
        alpha, sigma = self._levels(t, x0)
        return alpha * x0 + sigma * keys[:1].normal(*x0.shape).reshape(x0.shape).to(x0)


class Global(Euclidean):
    """Draws from a generator that remembers."""

    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Tensor:
        assert isinstance(x0, Tensor)
        alpha, sigma = self._levels(t, x0)
        return alpha * x0 + sigma * torch.randn_like(x0)


class Frozen(Euclidean):
    """Gives every sample the same noise."""

    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Tensor:
        assert isinstance(x0, Tensor)
        return super().noise(x0, t, Keys.of(0, [0] * len(x0)))


class Careless(Euclidean):
    """Accepts anything."""

    def check(self, x0: State, where: str = "data") -> None:
        return None


class Counting(Euclidean):
    """Counts what does not exist in the loss."""

    def loss(self, belief: Belief, x0: State, x_t: State, t: Time) -> Tensor:
        assert isinstance(x0, Tensor)
        return ((belief.mean - x0) ** 2).flatten(1).mean(1)


class Short(Euclidean):
    """Stops short of the data."""

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Any:
        return super().step(x_t, belief, t, 0.9 * s + 0.05, eta)


class Backwards(Euclidean):
    """Rewards error."""

    def loss(self, belief: Belief, x0: State, x_t: State, t: Time) -> Tensor:
        return -super().loss(belief, x0, x_t, t)


class Unprojected(Centered):
    """Forgets the centre of mass."""

    def project(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Sequential((4, 2)), "key|batch"),
        (Global((4, 2)), "function of its keys"),
        (Frozen((4, 2)), "differs from key to key"),
        (Careless((4, 2)), "refuses a wrong shape"),
        (Counting((4, 2)), "do not count in the loss"),
        (Short((4, 2)), "returns x0"),
        (Backwards((4, 2)), "smallest for the true belief"),
        (Unprojected((4, 2)), "masked positions"),
    ],
)
def test_broken_spaces_are_rejected(broken: Space, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_space(broken, POINTS, mask=MASK)


# Denoisers --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Altered(Denoiser):
    """A denoiser whose belief means pass through a function."""

    change: Callable[[Tensor, Tensor, Any], Tensor]
    denoiser: Denoiser = anisotropic()  # noqa: RUF009

    def __post_init__(self) -> None:
        carry(self, Traits(self.denoiser.space))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        assert isinstance(x_t, Tensor)
        return Normal(self.change(self.denoiser(x_t, t, condition).mean, x_t, t))


def test_denoisers_conform() -> None:
    world = anisotropic()
    for denoiser in (
        world,
        coupled(),
        sequences("masked"),
        sequences("uniform"),
        world & ClassifierFreeGuidance({"label": 1}, 2.0),
    ):
        assert check_denoiser(denoiser) == 11
    assert (
        check_denoiser(
            world & ClassifierFreeGuidance({"label": None}, 3.0), condition={"label": torch.tensor([0, 1, 1])}
        )
        == 10
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda mean, x, t: mean - mean.mean(0), "rest of the batch"),
        (lambda mean, x, t: mean / 0.0, "finite"),
        (lambda mean, x, t: mean + torch.rand(()), "same belief"),
        (
            lambda mean, x, t: mean + (1.0 if isinstance(t, Tensor) and t.ndim else 0.0),
            "a time a sample agree",
        ),
        (lambda mean, x, t: mean + x.mul_(1.1), "leaves x_t"),
        (lambda mean, x, t: mean[:1], "one mean a sample"),
    ],
)
def test_broken_denoisers_are_rejected(change: Callable[..., Tensor], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_denoiser(Altered(change))


# Kernels ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlteredKernel:
    """A predictor whose outcome passes through a function."""

    change: Callable[[SamplerState, SamplerState, Keys], SamplerState]

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        return self.change(Predictor()(state, s, denoiser, condition, keys), state, keys)


@pytest.mark.parametrize("kernel", [Predictor(), Predictor(0.0), Predictor(0.3, 2), TooLoose()], ids=repr)
def test_kernels_conform(kernel: Any) -> None:
    assert check_kernel(kernel, anisotropic()) == 8


@pytest.mark.parametrize("world", [coupled(), sequences("substitution")], ids=["product", "categorical"])
def test_the_predictor_conforms_in_every_space(world: Denoiser) -> None:
    assert check_kernel(Predictor(order=2), world) == 8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda after, state, keys: replace(after, t=0.1), "leads to s"),
        (lambda after, state, keys: replace(after, nfe=0), "nfe"),
        (lambda after, state, keys: replace(after, x=after.x + torch.rand(())), "function of its keys"),
        (lambda after, state, keys: replace(after, x=after.x - after.x.mean(0)), "rest of the batch"),
        (lambda after, state, keys: replace(after, x=after.x.double()), "shapes and types"),
        (lambda after, state, keys: replace(after, x=map_state(torch.log, after.x)), "finite"),
        (lambda after, state, keys: replace(after, x=after.x + state.x.add_(1.0)), "as it is"),
        (
            lambda after, state, keys: replace(after, x=after.x + isinstance(after.t, Tensor)),
            "a time a sample",
        ),
    ],
)
def test_broken_kernels_are_rejected(change: Callable[..., SamplerState], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_kernel(AlteredKernel(change), anisotropic())


# Operators --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator",
    [
        Downsample(2),
        Fourier(),
        Blur.gaussian(0.6),
        Matrix(Keys.of(0, 3).normal(24), (4, 6)),
        Mask(torch.ones(4, 6) > 0),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_operators_conform(operator: Operator) -> None:
    assert check_operator(operator, (4, 6)) == 12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (((4, 6), 0), "n is 0, expected a number of events"),
        (((4, 0),), r"shape is \(4, 0\), expected that of one event"),
    ],
)
def test_a_shape_and_a_number_are_checked(arguments: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_operator(Downsample(2), *arguments)


@dataclass(frozen=True)
class Loose(Operator):
    """An operator whose shapes nobody checks."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.backward(y)


@pytest.mark.parametrize(
    ("forward", "backward", "sentence"),
    [
        (lambda x: x[:1], lambda y: y, "one measurement a sample"),
        (lambda x: x, lambda y: y[:, :2], "shape of x"),
        (lambda x: x / 0.0, lambda y: y, "finite"),
        (lambda x: x.mul_(2.0), lambda y: 2 * y, "leaves x as it is"),
        (lambda x: x + 1.0, lambda y: y, "is linear"),
        (lambda x: 2 * x, lambda y: y / 2, "⟨A x, y⟩"),
        (lambda x: x * len(x), lambda y: y * len(y), "rest of the batch"),
        (lambda x: x.double(), lambda y: y.double(), "stays single"),
    ],
)
def test_broken_operators_are_rejected(forward: Any, backward: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_operator(Loose(forward, backward), (4,))


# Factors ----------------------------------------------------------------------------------------------


def squares(code: Tensor) -> Tensor:
    return (code**2).flatten(1).sum(1)


SEEN = Measurement(torch.tensor([0.3]), Mask(torch.tensor([True, False])), 0.5)


def test_factors_conform() -> None:
    world, tokens, joint = anisotropic(), sequences("masked"), coupled()
    for factor in (
        Energy(squares),
        ClassifierGuidance(lambda x: -squares(x)),
        NoisyClassifierGuidance(lambda x, t: -squares(x)),
        SEEN,
    ):
        assert check_factor(factor, world) == 21
        assert check_factor(factor.on("x"), joint) == 21
    fixed = Fixed(torch.tensor([1, 0]), torch.tensor([True, False]))
    assert check_factor(fixed, tokens) == check_factor(fixed.on("tokens"), joint) == 21
    assert check_factor(Energy(squares), tokens) == 21
    assert check_factor(SEEN, world, condition={"label": torch.tensor([0, 1, 1])}) == 20


@dataclass(frozen=True)
class AlteredFactor(Energy):
    """An energy whose answer passes through a function."""

    energy: Callable[[Any], Tensor] = squares
    change: Callable[[Tensor, Any, Any], Any] = lambda value, belief, x_t: (value, belief)
    said: tuple[str, Any] = ("factor", "altered")

    @property
    def provenance(self) -> Any:
        return dict([self.said])

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Any:
        value, updated = super().update(belief, x_t, t, space)
        return self.change(value, updated, x_t)

    def tempered(self, power: float) -> "AlteredFactor":
        return self if self.weight == 1 else replace(self, weight=1.0)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (AlteredFactor(change=lambda value, belief, x: (value[:2], belief)), "one number a sample"),
        (AlteredFactor(change=lambda value, belief, x: (value / 0.0, belief)), "is finite"),
        (AlteredFactor(change=lambda value, belief, x: (value, Normal(belief.mean.double()))), "same kind and shape"),
        (AlteredFactor(change=lambda value, belief, x: (value, Normal(belief.mean / 0.0))), "finite mean"),
        (AlteredFactor(change=lambda value, belief, x: (value + x.mul_(2.0).sum(1), belief)), "as they are"),
        (AlteredFactor(change=lambda value, belief, x: (value + torch.rand(()), belief)), "the same call"),
        (AlteredFactor(change=lambda value, belief, x: (value - value.mean(), belief)), "rest of the batch"),
        (AlteredFactor(weight=2.0), "to the power 1"),
        (AlteredFactor(said=("factor", torch.ones(1))), "not JSON serializable"),
        (AlteredFactor(said=("name", "altered")), "the record is JSON"),
    ],
)
def test_broken_factors_are_rejected(broken: Factor, sentence: str) -> None:
    with pytest.raises((AssertionError, TypeError), match=sentence):
        check_factor(broken, anisotropic())

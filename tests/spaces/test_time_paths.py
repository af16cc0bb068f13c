"""Parts with times of their own: on any path the noise is that of the own times, and the joint law is right."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from ornstein.beliefs import Belief, Normal
from ornstein.denoisers.base import Condition, Guided, NeuralDenoiser, Traits
from ornstein.denoisers.composition import ClassifierFreeGuidance, mixture, product
from ornstein.denoisers.oracles import Mixture
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.guidance.interval import Interval
from ornstein.guidance.maps import Parts
from ornstein.guidance.within import OnPart
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Predictor, Restart
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import Cosine
from ornstein.spaces import ONE_CLOCK, Categorical, Euclidean, Product, TimePath
from ornstein.spaces.steps import average_weights
from ornstein.states import State, Time
from ornstein.testing import check_space
from worlds import JOINT_WEIGHTS, MeanOnly, anisotropic, assert_close, assert_frequencies, coupled, double, rejected

LATE = TimePath.power(4, "tokens")
FIRST = TimePath({"x": (0, 1, 1), "tokens": (0, 0, 1)})
LAST = TimePath({"x": (0, 0, 1), "tokens": (0, 1, 1)})
PATHS = {"one clock": ONE_CLOCK, "tokens late": LATE, "tokens first": FIRST, "tokens last": LAST}
SPACE = Product({"x": Euclidean((2,)), "tokens": Categorical.masked((2,), 2)})

# Paths ---------------------------------------------------------------------------------------------------


def test_times_lie_between_the_knots() -> None:
    path = TimePath({"a": (0.0, 0.2, 1.0)})
    assert [path.at(u, "a") for u in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx([0.0, 0.1, 0.2, 0.6, 1.0])
    assert path.at(0.3, "another") == 0.3
    assert TimePath.known("a").at(1.0, "a") == 0.0
    assert TimePath.power(1, "a") == ONE_CLOCK
    assert TimePath.power(3, "a").at(0.5, "a") == pytest.approx(1 - 0.5**3)
    assert TimePath.from_record(path.record()) == path


def test_numbers_and_tensors_agree_and_have_slopes() -> None:
    clock = torch.linspace(0, 1, 41, dtype=torch.float64)
    each = [LATE.at(u, "tokens") for u in clock.tolist()]
    assert_close(LATE.at(clock, "tokens"), double(each))
    inside = (clock[1:-1] + 1e-3).requires_grad_()  # off the knots
    assert torch.autograd.gradcheck(lambda u: torch.as_tensor(LATE.at(u, "tokens")), (inside,))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: TimePath([0, 1]), "a path is a list, expected a dictionary"),  # pyright: ignore[reportArgumentType]
        (lambda: TimePath({"x": (0.0,)}), r"path of 'x': expected two or more times in \[0, 1\]"),
        (lambda: TimePath({"x": (0.0, 1.5)}), r"expected two or more times in \[0, 1\], found \(0.0, 1.5\)"),
        (lambda: TimePath({"x": (0.0, float("nan"))}), "expected two or more times"),
        (lambda: TimePath({"x": "01"}), "expected two or more times"),  # pyright: ignore[reportArgumentType]
        (lambda: TimePath({"x": (0.1, 1.0)}), "must begin at 0"),
        (lambda: TimePath({"x": (0.0, 0.6, 0.5)}), "never fall"),
        (lambda: TimePath.power(0, "x"), "the power of a path is 0, expected a positive number"),
        (lambda: SPACE.along(TimePath.known("atoms")), "a path of the part 'atoms', but there are x, tokens"),
        (lambda: coupled().along(TimePath.known("atoms")), "a path of the part 'atoms'"),
        (lambda: anisotropic().along(LATE), "a path is for data of several parts, not for a Euclidean space"),
        (lambda: SPACE.time_of({"x": 0.5}, "tokens"), "no time of the part 'tokens', only of x"),
    ],
)
def test_bad_paths_are_refused(asked: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        asked()


# Products on a path --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_product_on_a_path_is_a_space(path: TimePath) -> None:
    x0 = {"x": Keys.of(0, 4).normal(2).float(), "tokens": torch.tensor([[0, 1], [1, 0], [1, 1], [0, 0]])}
    if path in (FIRST, LAST):  # at some times nothing of a part is left to learn
        assert SPACE.along(path).noise(x0, 1.0, Keys.of(0, 4))["tokens"].eq(2).all()
    else:
        assert check_space(SPACE.along(path), x0) > 10


def test_noise_is_that_of_the_own_times() -> None:
    """A number, a tensor, and the times by name: the same noise, part by part what the part alone is noised to."""
    x0 = {"x": torch.ones(3, 2), "tokens": torch.zeros(3, 2, dtype=torch.int64)}
    keys, space = Keys.of(0, 3), SPACE.along(LATE)
    own = {"x": 0.3, "tokens": LATE.at(0.3, "tokens")}
    found = [space.noise(x0, t, keys) for t in (0.3, torch.full((3,), 0.3), own)]
    for name, part in space.parts.items():
        alone = part.noise(x0[name], own[name], keys.fold(name))
        assert all(torch.allclose(one[name], alone) for one in found)
    assert space.own_times(0.3) == own
    assert SPACE.own_times(0.3) == 0.3


def assert_apart(share: float, times: dict[str, Tensor], clock: Tensor) -> None:
    """As many are off the path as were asked for; there the times of the tokens are uniform, and independent of x's."""
    off = (times["tokens"] - as_path(clock)).abs() > 1e-6
    found = stats.binomtest(int(off.sum()), len(off), share)
    assert found.pvalue > 0.001, f"{off.float().mean():.3f} are off the path, asked for {share}"
    own = times["tokens"][off].double().numpy()
    assert stats.kstest(own, "uniform").pvalue > 0.001
    assert stats.kendalltau(own, times["x"][off].numpy())[1] > 0.001  # pyright: ignore
    assert times["x"].equal(clock)


def as_path(clock: Tensor) -> Tensor:
    own = LATE.at(clock, "tokens")
    assert isinstance(own, Tensor)
    return own


def test_some_records_are_at_times_apart() -> None:
    keys, clock = Keys.of(0, 4000), Keys.of(1, 4000).uniform().float()
    times = SPACE.along(LATE).apart(clock, 0.4, keys)
    assert_apart(0.4, times, clock)
    rejected(assert_apart, 0.5, times, clock)
    together = {"x": clock, "tokens": torch.where(keys.fold("apart").uniform() < 0.4, clock, as_path(clock))}
    rejected(assert_apart, 0.4, together, clock)  # a broken twin: off the path both are at one time


def test_pure_noise_and_clean_data_may_stand_still() -> None:
    x = torch.ones(3, 2)
    for t in (0.0, 0.5, 1.0):
        for time in (t, torch.full((3,), t)):
            assert SPACE.parts["x"].noise(x, time, Keys.of(0, 3), since=time).equal(x)
            assert SPACE.parts["x"].step(x, Normal(0 * x), time, time, 0.0).sample(Keys.of(0, 3)).equal(x)


def test_beliefs_at_one_place_count_once() -> None:
    """Where a part stood still, or nearly so, it is not extrapolated through what the other parts changed."""
    plain = average_weights(Cosine(), 1.0, 0.0, (0.8, 0.6), 0.6, 0.4)
    for still in (0.6, 0.6 + 1e-6):
        weights = average_weights(Cosine(), 1.0, 0.0, (0.8, still, 0.6), 0.6, 0.4)
        assert weights == pytest.approx((plain[0], 0.0, plain[1]))
        both = [double([node, other]) for node, other in ((0.8, 0.9), (still, 0.7), (0.6, 0.6), (0.6, 0.6), (0.4, 0.4))]
        found = average_weights(Cosine(), 1.0, 0.0, both[:3], *both[3:])
        assert_close(torch.stack([one[0] for one in found]), double(weights))  # pyright: ignore[reportIndexIssue, reportArgumentType, reportCallIssue]
    assert average_weights(Cosine(), 1.0, 0.0, (1.0, 1.0), 1.0, 1.0)[1] == 1.0


# The joint law -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Confused(Guided):
    """A broken twin: the parts' own times are exchanged."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        own: Any = self.space.own_times(t)
        exchanged = TimePath({"x": (0.0, own["tokens"]), "tokens": (0.0, own["x"])})
        return self.denoiser.along(exchanged)(x_t, 1.0)


def assert_joint_law(samples: dict[str, Tensor], table: Tensor | None = None) -> None:
    """Tokens occur as often as the table says; given them, positions have mean and covariance of their component."""
    parts: Any = coupled().components
    assert_frequencies(samples["tokens"], JOINT_WEIGHTS.reshape(2, 2) if table is None else table)
    which = samples["tokens"] @ torch.tensor([2, 1])
    own = parts.parts["x"]
    off = samples["x"].double() - own.means[which]
    z = torch.einsum("bij,bi->bj", own.axes[which], off) / own.variances[which].sqrt()
    for law in (stats.kstest(one.numpy(), "norm") for k in range(4) for one in z[which == k].T):
        assert law.pvalue > 0.001 / 8, f"positions given tokens are off, p = {law.pvalue:.2g}"


def drawn(path: TimePath, steps: int = 40, n: int = 1200, seed: int = 0, wrap: Any = lambda world: world) -> Any:
    world = coupled()
    start = world.space.prior(Keys.of(seed, n))
    truth = world.draw(Keys.of(seed + 1, n))
    start |= {name: truth[name] for name in path.times if path.at(1.0, name) == 0}
    solver = Predictor(0.0, 2)
    return Sampler(uniform(steps), (solver,)).run(wrap(world.along(path)), Keys.of(seed, n), start=start)


@pytest.mark.parametrize(
    "path", [*PATHS.values(), TimePath.known("tokens"), TimePath.known("x")], ids=[*PATHS, "tokens known", "x known"]
)
def test_any_path_leads_to_the_joint_law(path: TimePath) -> None:
    assert_joint_law(drawn(path))


@pytest.mark.parametrize("path", [LATE, FIRST, LAST])
def test_the_joint_law_rejects_times_that_are_confused(path: TimePath) -> None:
    rejected(assert_joint_law, drawn(path, wrap=Confused))


def test_a_coarse_path_errs_as_predicted() -> None:
    """Tokens drawn together in one step before positions follow the product of their marginals, and positions them."""
    path = TimePath({"x": (0, *(k / 39 for k in range(1, 40)), 1), "tokens": (*[0] * 40, 1)})
    samples = drawn(path)
    table = JOINT_WEIGHTS.reshape(2, 2)
    apart = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    assert_joint_law(samples, apart)
    rejected(assert_joint_law, samples)


def test_correctors_and_particles_walk_on_paths() -> None:
    restarted = Sampler(uniform(24), (Predictor(1.0), Restart())).run(coupled().along(LAST), Keys.of(0, 1000))
    assert_frequencies(restarted["tokens"], JOINT_WEIGHTS.reshape(2, 2))
    tilted = coupled().along(LATE) & OnPart("x", Energy(lambda x: x[:, 0]))
    found = Sampler(uniform(20), (Particles(),)).end(tilted, Keys.of(0, 1000))
    own: Any = coupled().components.parts["x"]  # pyright: ignore[reportAttributeAccessIssue]
    variance = (own.axes[:, 0] ** 2 * own.variances).sum(-1)
    expected = JOINT_WEIGHTS * (-own.means[:, 0] + variance / 2).exp()
    assert found.population is not None
    share = found.population.log_weights.softmax(0).double()
    got = torch.zeros(4).double().index_add(0, found.x["tokens"] @ torch.tensor([2, 1]), share)
    assert_close(got, expected / expected.sum(), 0.08)


# Guides and compositions ---------------------------------------------------------------------------------


class Told(nn.Module):
    """A network that remembers the times it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.told = nn.Parameter(torch.ones(())), []

    def forward(self, inputs: dict[str, Tensor], t: Any, condition: Condition) -> dict[str, Tensor]:
        self.told.append(t)
        return {"x": self.scale * inputs["x"], "tokens": torch.zeros(len(inputs["x"]), 2, 2)}


def networks() -> list[NeuralDenoiser]:
    label = {"label": torch.tensor(-1)}
    return [NeuralDenoiser(Told(), Traits(SPACE), label) for _ in range(3)]


def test_a_path_reaches_the_models_within() -> None:
    """Guides, prompts, products and mixtures of a model are put on a path with it."""
    a, b, c = networks()
    wish = OnPart("x", Energy(lambda x: x[:, 0]))
    built = {
        "guided": a & wish,
        "prompted": a & ClassifierFreeGuidance({"label": 1}, 2.0) & wish,
        "product": product(a, b, c),
        "mean only": MeanOnly(a),
    }
    x = SPACE.prior(Keys.of(0, 2))
    for name, denoiser in built.items():
        moved = denoiser.along(LATE)
        assert isinstance(moved.space, Product)
        assert moved.space.path == LATE, name
        for network in (a, b, c):
            network.network.told.clear()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
        if name != "mean only":
            moved(x, 0.5)
        for told in (told for one in (a, b, c) for told in one.network.told):  # pyright: ignore[reportAttributeAccessIssue, reportGeneralTypeIssues]
            assert_close(told["tokens"], torch.full((2,), 1 - 0.5**4), 1e-3)
    assert [part.space.path for _, part in mixture([a, b]).along(LATE).parts] == [LATE, LATE]  # pyright: ignore[reportAttributeAccessIssue]


def test_models_on_different_paths_are_not_composed() -> None:
    a, b, c = networks()
    with pytest.raises(InputError):
        product(a.along(LATE), b, c)


@dataclass(frozen=True)
class Timed(Energy):
    """A factor that remembers the time it is told."""

    def update(self, belief: Any, x_t: State, t: Time, space: Any) -> Any:
        SEEN.append(t)
        return super().update(belief, x_t, t, space)


SEEN: list[Any] = []


def test_a_factor_on_a_part_is_told_its_own_time() -> None:
    """Once it was told where the clock stands, so that covariances had the noise of another time."""
    world: Mixture = coupled().along(LAST)
    denoiser = world & OnPart("x", Timed(lambda x: x[:, 0]))
    x = world.space.noise(world.draw(Keys.of(0, 3)), 0.6, Keys.of(1, 3))
    SEEN.clear()
    denoiser(x, 0.6)
    assert [pytest.approx(0.2)] == SEEN


def test_an_interval_on_a_part_counts_by_its_own_time() -> None:
    """Tokens are known before positions move: the clock is at .6 where positions are at .2."""
    world = coupled().along(LAST)
    x = world.space.noise(world.draw(Keys.of(0, 3)), 0.6, Keys.of(1, 3))
    wish, plain = Energy(lambda x: x[:, 0]), world(x, 0.6).mean["x"]
    assert not (world & OnPart("x", Interval(wish, 0.5)))(x, 0.6).mean["x"].equal(plain)
    assert (world & Interval(OnPart("x", wish), 0.5))(x, 0.6).mean["x"].equal(plain)


def test_the_field_of_a_product_keeps_its_path() -> None:
    assert Parts({}).field_space(SPACE.along(LATE)) == SPACE.along(LATE)

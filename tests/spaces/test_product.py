"""The parts of a product keep their own rules: molecules of unequal size walk through the one sampler."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ornstein.beliefs import Joint, Normal, Probs
from ornstein.denoisers.base import Condition, NeuralDenoiser, Traits
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.guidance.interval import Interval
from ornstein.guidance.maps import Parts
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import RectifiedFlow
from ornstein.spaces import Categorical, Centered, Euclidean, Independent, Product, Space
from ornstein.states import concatenate, leaves
from worlds import assert_close, double, rejected

SIZES = torch.tensor([7, 4, 2])
MASK = torch.arange(7) < SIZES[:, None]
PARTS: dict[str, Space] = {"positions": Centered((7, 3)), "atoms": Categorical.masked((7,), 5)}
MOLECULES = Product(PARTS)


class Toy(nn.Module):
    """A network in which positions and atoms see one another, pointwise."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(Keys.of(1, 6).normal(4).float())
        self.mix = nn.Linear(8, 8, bias=False)
        self.mix.weight.data = 0.5 * Keys.of(2, 8).normal(8).float()

    def forward(self, inputs: dict[str, Tensor], t: Tensor, condition: Condition) -> dict[str, Tensor]:
        time = t[:, None, None].expand(-1, 7, 1)
        hidden = self.mix(torch.cat([inputs["positions"], self.embed(inputs["atoms"]), time], -1)).tanh()
        return {"positions": hidden[..., :3], "atoms": 4 * hidden[..., 3:]}


def toy(space: Space = MOLECULES) -> NeuralDenoiser:
    return NeuralDenoiser(Toy(), Traits(space))


def assert_walks_as_a_molecule(space: Space, eta: float, order: int) -> None:
    """Shapes, masked positions, the centre of mass and the alphabet hold after every step."""
    keys, condition = Keys.of(5, 3), {"mask": MASK}
    walks = list(Sampler(uniform(12), (Predictor(eta, order),)).steps(toy(space), keys, condition))
    for state in walks:
        positions, atoms = state.x["positions"], state.x["atoms"]
        assert positions.shape == (3, 7, 3)
        assert positions.isfinite().all()
        assert atoms.shape == (3, 7)
        assert (positions[~MASK] == 0).all()
        assert (atoms[~MASK] == 0).all()
        assert positions.sum(1).abs().max() < 7e-6
    assert walks[-1].x["atoms"].max() < 5


@pytest.mark.parametrize(("eta", "order"), [(0.0, 1), (0.0, 2), (1.0, 1), (0.5, 2)])
def test_a_molecule_walks_through_the_sampler(eta: float, order: int) -> None:
    assert_walks_as_a_molecule(MOLECULES, eta, order)


def test_the_walk_test_rejects_free_points() -> None:
    free = Product({"positions": Euclidean((7, 3)), "atoms": PARTS["atoms"]})
    rejected(assert_walks_as_a_molecule, free, 1.0, 1)


def test_molecules_do_not_depend_on_the_batch() -> None:
    def run(rows: slice) -> Any:
        keys = Keys.of(5, 3)[rows]
        return Sampler(uniform(12)).run(toy(), keys, {"mask": MASK[rows]})

    whole, alone = run(slice(0, 3)), concatenate([run(slice(i, i + 1)) for i in range(3)])
    assert whole["atoms"].equal(alone["atoms"])
    assert_close(whole["positions"], alone["positions"], 1e-4)


def test_the_gradient_flows_through_the_positions() -> None:
    keys, space = Keys.of(5, 3), MOLECULES.with_mask(MASK)
    start = space.prior(keys)
    start["positions"].requires_grad_()
    x = Sampler(uniform(6), (Predictor(0.0),)).run(toy(), keys, {"mask": MASK}, start)
    (slope,) = torch.autograd.grad((x["positions"] ** 2).sum(), start["positions"])
    assert slope.isfinite().all()
    assert (slope[~MASK] == 0).all()
    assert (slope[MASK] != 0).all()


def test_parts_have_their_own_randomness() -> None:
    space = Product({"a": Euclidean((4,)), "b": Euclidean((4,))})
    prior = space.prior(Keys.of(0, 3))
    noisy = space.noise({"a": torch.zeros(3, 4), "b": torch.zeros(3, 4)}, 0.5, Keys.of(0, 3))
    for state in (prior, noisy):
        assert not torch.isclose(state["a"], state["b"]).any()


def test_parts_may_have_their_own_schedules() -> None:
    fast = Product({"a": Euclidean((1,)), "b": Euclidean((1,), RectifiedFlow())})
    x = {"a": torch.ones(1, 1).double(), "b": torch.ones(1, 1).double()}
    belief = Joint({"a": Normal(0 * x["a"]), "b": Normal(0 * x["b"])})
    for name, part in fast.parts.items():
        alone = part.step(x[name], belief[name], 0.7, 0.3, 0.0).sample(Keys.of(0, 1))
        assert_close(fast.step(x, belief, 0.7, 0.3, 0.0).parts[name].sample(Keys.of(0, 1)), alone)


def test_order_two_extrapolates_the_continuous_part_alone() -> None:
    x, logits = torch.ones(3, 7, 3), torch.zeros(3, 7, 6)
    past = [(0.8, Joint({"positions": Normal(2 * x), "atoms": Probs(logits + torch.arange(6))}))]
    past.append((0.6, Joint({"positions": Normal(x), "atoms": Probs(logits)})))
    average = MOLECULES.average(past, 0.6, 0.4)
    assert (average.mean["positions"] < 1).all()
    assert average["atoms"] is past[1][1]["atoms"]


def assert_sums_to_one(transition: Independent) -> None:
    """A line and two three-state tokens: ∫ Σ p(x, tokens) = 1."""
    axis = torch.linspace(-6, 6, 241, dtype=torch.float64)[:, None]
    total = double(0.0)
    for pair in product(range(3), repeat=2):
        tokens = torch.tensor([pair]).expand(241, 2)
        total += transition.log_prob({"x": axis, "tokens": tokens}).exp().sum() * (12 / 240)
    assert abs(total.item() - 1) < 1e-6, f"sums to {total.item():.4f}"


class Twice(Independent):
    """A broken twin: counts the first part twice."""

    def log_prob(self, x: Any) -> Tensor:
        return super().log_prob(x) + self.parts["x"].log_prob(x["x"])


def move() -> Independent:
    space = Product({"x": Euclidean((1,)), "tokens": Categorical.uniform((2,), 3)})
    n = 241
    x_t = {"x": torch.full((n, 1), 0.4).double(), "tokens": torch.ones(n, 2, dtype=torch.int64)}
    logits = double([[0.1, 0.5, -1.0], [1.0, 0.0, 0.3]]).expand(n, 2, 3)
    return space.step(x_t, Joint({"x": Normal(torch.zeros(n, 1).double()), "tokens": Probs(logits)}), 0.7, 0.4)


def test_joint_probability_sums_to_one() -> None:
    assert_sums_to_one(move())


def test_the_sum_rejects_a_part_counted_twice() -> None:
    rejected(assert_sums_to_one, Twice(move().parts))


def test_losses_add_with_their_weights() -> None:
    keys = Keys.of(0, 3)
    x0 = {"positions": keys.normal(7, 3), "atoms": torch.zeros(3, 7, dtype=torch.int64)}
    belief = Joint({"positions": Normal(0 * x0["positions"]), "atoms": Probs(torch.zeros(3, 7, 6))})
    parts = {name: part.loss(belief[name], x0[name], x0[name], 0.4) for name, part in PARTS.items()}
    assert_close(MOLECULES.loss(belief, x0, x0, 0.4), parts["positions"] + parts["atoms"])
    weighted = Product(PARTS, {"atoms": 0.1}).loss(belief, x0, x0, 0.4)
    assert_close(weighted, parts["positions"] + 0.1 * parts["atoms"])


def test_check_names_the_part() -> None:
    good = {"positions": torch.zeros(2, 7, 3), "atoms": torch.zeros(2, 7, dtype=torch.int64)}
    MOLECULES.check(good)
    with pytest.raises(InputError, match=r"expected the parts \['atoms', 'positions'\], found \['atoms'\]"):
        MOLECULES.check({"atoms": good["atoms"]})
    with pytest.raises(InputError, match=r"qm9.sdf: atoms: record 0, position .* is category 9, expected 0 to 4"):
        MOLECULES.check({**good, "atoms": good["atoms"] + 9}, "qm9.sdf")
    with pytest.raises(InputError, match="found Tensor"):
        MOLECULES.check(good["positions"])


def test_leaves_are_the_parts() -> None:
    assert [leaf.shape for leaf in leaves(MOLECULES.prior(Keys.of(0, 2)))] == [(2, 7, 3), (2, 7)]


def test_parts_may_have_their_own_times_and_masks() -> None:
    """A field of five numbers and one class a record: only the field has positions."""
    space = Product({"field": Euclidean((5,)), "kind": Categorical.uniform((), 3)})
    x0 = {"field": torch.ones(5, 5), "kind": torch.zeros(5, dtype=torch.int64)}
    mask = torch.rand(5, 5) < 0.5
    with pytest.raises(ValueError, match="does not fit"):
        space.with_mask(mask).noise(x0, 0.5, Keys.of(0, 5))
    x_t = space.with_mask({"field": mask}).noise(x0, {"field": 0.0, "kind": 1.0}, Keys.of(0, 5))
    assert x_t["field"].equal(mask.float())
    assert x_t["kind"].shape == (5,)
    assert set(x_t["kind"].tolist()) > {0}


PAIR = Product({"x": Euclidean((2,)), "y": Euclidean((3,))})
STATES = {"x": torch.zeros(2, 2), "y": torch.zeros(2, 3)}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: Product({}), "the parts of a product are {}"),
        (lambda: Product({"x": 3}), "part 'x' of a product is a int"),  # pyright: ignore[reportArgumentType]
        (lambda: Product({"x": Euclidean((2,))}, {"y": 1.0}), "weights: the product has no part 'y', only x"),
        (lambda: Product({"x": Euclidean((2,))}, {"x": torch.nan}), "weights: that of 'x' is nan"),
        (lambda: PAIR.noise(STATES, {"x": 0.5}, Keys.of(0, 2)), "no time of the part 'y', only of x"),
        (lambda: PAIR.noise({"x": STATES["x"]}, 0.5, Keys.of(0, 2)), "lacks the part 'y', it has x"),
        (lambda: PAIR.noise(STATES["x"], 0.5, Keys.of(0, 2)), "a dictionary with the names .* found a Tensor"),
        (lambda: PAIR.with_mask({"z": torch.ones(2, 2, dtype=torch.bool)}), "a mask of the part 'z'"),
        (lambda: Interval(Energy(lambda x: x.sum(1)), (0.2, 0.8)), r"until is \(0.2, 0.8\)"),  # pyright: ignore[reportArgumentType]
        (lambda: Parts({"x": 3}), "expected a dictionary, name of a part → map"),  # pyright: ignore[reportArgumentType]
        (lambda: Sampler((1.0, 0.0), ()), "one kernel or more"),
    ],
)
def test_what_products_and_their_parts_lack_is_named(asked: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        asked()

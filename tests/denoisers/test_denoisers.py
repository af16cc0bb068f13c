"""Networks become beliefs with every kind of time and condition; covariances follow from the mean alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ornstein.beliefs import Joint, Normal
from ornstein.denoisers.base import Condition, Denoiser, NeuralDenoiser, Traits, times
from ornstein.denoisers.energy import EnergyDenoiser
from ornstein.denoisers.oracles import Mixture
from ornstein.denoisers.tweedie import with_covariance
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.networks.embeddings import LabelEmbedding
from ornstein.schedules import EDM, Cosine, RectifiedFlow, Schedule
from ornstein.spaces import Autoregressive, Categorical, Euclidean, Product, Space
from worlds import MeanOnly, anisotropic, assert_close, coupled, double, rejected, smooth


class Echo(nn.Module):
    """Remembers what it was given; answers with its inputs."""

    seen: Any = None

    def forward(self, inputs: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.seen = (inputs, t, condition)
        return inputs


def test_a_network_sees_unit_inputs_times_and_the_whole_condition() -> None:
    echo, x = Echo(), torch.ones(3, 2)
    denoiser = NeuralDenoiser(echo, Traits(Euclidean((2,), RectifiedFlow())), {"label": torch.tensor(-1)})
    belief = denoiser(x, 0.5)
    inputs, t, condition = echo.seen
    assert_close(inputs, x * 2**0.5, 1e-6)
    assert t.tolist() == [0.5, 0.5, 0.5]
    assert condition["label"].tolist() == [-1, -1, -1]
    assert_close(belief.mean, denoiser.space.belief(inputs, x, 0.5).mean)
    denoiser(x, 0.5, {"label": torch.tensor([4, 5, 6])})
    assert echo.seen[2]["label"].tolist() == [4, 5, 6]


UNSAID = {"label": torch.tensor(-1), "caption": torch.zeros(7, 4), "properties": torch.zeros(3)}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"lable": torch.zeros(2)}, "knows no condition 'lable', did you mean 'label'"),
        ({"label": torch.zeros(2, 1).long()}, r"'label' has the shape \(2, 1\), expected \(batch\)"),
        ({"label": torch.tensor(1)}, r"'label' has the shape \(\), expected \(batch\)"),
        ({"label": torch.ones(2)}, "'label' holds torch.float32, expected whole numbers"),
        ({"caption": torch.zeros(2, 7, 5)}, r"'caption' has the shape \(2, 7, 5\), expected \(batch, \.\.\., 4\)"),
        ({"properties": torch.zeros(2, 4)}, r"'properties' has the shape \(2, 4\), expected \(batch, 3\)"),
    ],
)
def test_conditions_of_another_kind_are_named(condition: dict[str, Tensor], message: str) -> None:
    denoiser = NeuralDenoiser(Echo(), Traits(Euclidean((3,))), UNSAID)
    with pytest.raises(InputError, match=message):
        denoiser(torch.zeros(2, 3), 0.5, condition)
    assert denoiser(torch.zeros(2, 3), 0.5, {"label": torch.tensor([0, 1]), "caption": torch.zeros(2, 9, 4)})


def test_a_class_that_there_is_not_is_named() -> None:
    """A label of 17 among ten classes was an IndexError deep within."""
    embedding = LabelEmbedding(10, 4).eval()
    assert embedding(torch.tensor([-1, 0, 9])).shape == (3, 4)
    for wrong in (10, 17, -2):
        with pytest.raises(InputError, match=rf"class {wrong} is not known: expected 0 to 9, or -1"):
            embedding(torch.tensor([3, wrong]))


@pytest.mark.parametrize("t", [0.25, torch.tensor(0.25), torch.full((3,), 0.25), torch.full((3, 2), 0.25)])
def test_every_kind_of_time_gives_the_same_belief(t: Any) -> None:
    denoiser, x = NeuralDenoiser(Echo(), Traits(Euclidean((2,)))), Keys.of(0, 3).normal(2).float()
    assert_close(denoiser(x, t).mean, denoiser(x, 0.25).mean, 1e-6)
    assert times(t, x).shape[0] == 3


class Says(nn.Module):
    """Answers with the same at every state."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.weight, self.answer = nn.Parameter(torch.zeros(())), answer

    def forward(self, inputs: Any, t: Tensor, condition: Condition) -> Any:
        return self.answer


POINTS, TOKENS = Euclidean((2,)), Categorical.masked((4,), 3)
BOTH = Product({"points": POINTS, "tokens": TOKENS})


@pytest.mark.parametrize(
    ("space", "good", "bad", "found"),
    [
        (POINTS, torch.zeros(3, 2), torch.zeros(3, 1), r"\(3, 1\), expected a tensor of shape \(3, 2\)"),
        (POINTS, torch.zeros(3, 2), torch.zeros(1, 2), r"\(1, 2\), expected a tensor of shape \(3, 2\)"),
        (POINTS, torch.zeros(3, 2), None, r"NoneType, expected a tensor of shape \(3, 2\)"),
        (TOKENS, torch.zeros(3, 4, 3), torch.zeros(3, 4, 4), r"\(3, 4, 4\), expected a tensor of shape \(3, 4, 3\)"),
        (Autoregressive.of(4, 3), torch.zeros(3, 4, 3), torch.zeros(3, 1, 3), r"\(3, 1, 3\), expected .* \(3, 4, 3\)"),
        (
            BOTH,
            {"points": torch.zeros(3, 2), "tokens": torch.zeros(3, 4, 3)},
            {"points": torch.zeros(3, 2)},
            r"\['points'\], expected the parts \['points', 'tokens'\]",
        ),
        (BOTH, {"points": torch.zeros(3, 2), "tokens": torch.zeros(3, 4, 3)}, torch.zeros(3, 2), "Tensor, expected"),
    ],
)
def test_what_a_network_returns_is_not_broadcast(space: Space, good: Any, bad: Any, found: str) -> None:
    x = space.prior(Keys.of(0, 3))
    NeuralDenoiser(Says(good), Traits(space))(x, 0.5)
    with pytest.raises(InputError, match=f"the network returned {found}"):
        NeuralDenoiser(Says(bad), Traits(space))(x, 0.5)


def test_an_energy_network_is_not_broadcast() -> None:
    energetic = EnergyDenoiser(Says(torch.zeros(3, 1)), Traits(POINTS))
    with pytest.raises(InputError, match=r"the network returned \(3, 1\), expected a tensor of shape \(3, 2\)"):
        energetic.log_density(torch.zeros(3, 2), 0.5)


def test_a_time_keeps_its_gradient() -> None:
    t = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(times(t, torch.zeros(3, 2)).sum(), t)
    assert slope == 3


def test_a_mask_binds_the_space() -> None:
    denoiser = NeuralDenoiser(Echo(), Traits(Euclidean((2, 1))))
    mask = torch.tensor([[True, False]])
    assert denoiser(torch.ones(1, 2, 1), 0.5, {"mask": mask}).mean[0, 1, 0] == 0


# Covariance -------------------------------------------------------------------------------------------


def assert_tweedie(denoiser: Denoiser, world: Mixture, t: Any) -> None:
    """The covariance from the gradient of the mean equals the oracle's, in every direction."""
    keys = Keys.of(3, 4)
    x_t = world.space.noise(world.draw(keys).double(), t, keys)
    found, exact = with_covariance(denoiser, x_t, t), world(x_t, t)
    assert isinstance(found, Normal)
    assert isinstance(exact, Normal)
    assert found.cov is not None
    assert exact.cov is not None
    for v in (keys.normal(2), double([1.0, 0.0]).expand(4, 2), double([0.0, 1.0]).expand(4, 2)):
        assert_close(found.cov(v), exact.cov(v), 1e-9)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), EDM()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9, double([0.1, 0.4, 0.6, 0.9])], ids=str)
def test_tweedie_covariance_is_the_mixture_covariance(schedule: Schedule, t: Any) -> None:
    assert_tweedie(MeanOnly(smooth(schedule)), smooth(schedule), t)
    assert_tweedie(MeanOnly(anisotropic(schedule)), anisotropic(schedule), t)


def test_covariance_test_rejects_another_world() -> None:
    rejected(assert_tweedie, MeanOnly(anisotropic()), smooth(), 0.5)


def test_pure_noise_says_nothing_so_the_covariance_is_that_of_the_data() -> None:
    """Tweedie's formula is 0/0 at α = 0, where every sampler begins."""
    space, x = Euclidean((2,), data_std=0.5), Keys.of(0, 3).normal(2)
    belief = with_covariance(NeuralDenoiser(Echo(), Traits(space)), x, double([1.0, 0.5, 1.0]))
    assert isinstance(belief, Normal)
    assert belief.cov is not None
    assert_close(belief.cov(x)[[0, 2]], 0.25 * x[[0, 2]])
    assert belief.cov(x)[1].isfinite().all()


def test_a_denoisers_own_covariance_is_kept() -> None:
    world, x = smooth(), double([[0.1, 0.2]])
    belief = with_covariance(world, x, 0.5)
    assert isinstance(belief, Normal)
    assert type(belief.cov).__name__ == "MixtureCovariance"


def test_covariance_works_where_gradients_are_off_and_leaves_x_alone() -> None:
    x = double([[0.1, 0.2]])
    with torch.no_grad():
        belief = with_covariance(MeanOnly(smooth()), x, 0.5)
        assert isinstance(belief, Normal)
        assert belief.cov is not None
        assert belief.cov(x).isfinite().all()
    assert not x.requires_grad


def test_covariance_goes_through_products() -> None:
    class Means(MeanOnly):
        def __call__(self, x_t: Any, t: Any, condition: Condition | None = None) -> Any:
            belief: Any = self.denoiser(x_t, t, condition)
            return Joint({"x": Normal(belief["x"].mean), "tokens": belief["tokens"]})

    world, v = coupled(), double([[0.4, -1.0]])
    x_t = {"x": double([[0.2, 0.1]]), "tokens": torch.tensor([[2, 2]])}
    found, exact = (with_covariance(denoiser, x_t, 0.6) for denoiser in (Means(world), world))
    assert isinstance(found, Joint)
    assert isinstance(exact, Joint)
    parts: list[Any] = [belief["x"] for belief in (found, exact)]
    assert_close(parts[0].cov(v), parts[1].cov(v), 1e-9)

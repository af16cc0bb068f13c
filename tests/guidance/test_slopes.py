"""A loss on what is guided reaches the parameters of the energy that guides it, where they want gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.denoisers.oracles import Mixture
from ornstein.guidance.classifiers import ClassifierGuidance, NoisyClassifierGuidance
from ornstein.guidance.factors import Energy
from ornstein.guidance.slopes import learns
from ornstein.keys import Keys
from ornstein.tasks.drawing import sample
from worlds import MeanOnly, anisotropic, assert_close, double, rejected

X_T = Keys.of(0, 4).normal(2).double()


def wish(theta: Tensor) -> Any:
    """A bent energy whose place and strength are learnt."""
    return Energy(lambda x: (x[:, 0] - theta[0]).square() * theta[1].exp() + theta[0] * x[:, 1], 0.7)


def loss(world: Any, theta: Tensor, factor: Any = wish) -> Tensor:
    return ((world & factor(theta))(X_T, 0.4).mean * double([[1.0, -0.5]])).square().sum()


def slope_of(world: Any, theta: Tensor, factor: Any = wish) -> Tensor:
    theta = theta.clone().requires_grad_()
    loss(world, theta, factor).backward()
    assert theta.grad is not None
    return theta.grad


def by_differences(world: Any, theta: Tensor, factor: Any = wish, step: float = 1e-5) -> Tensor:
    ends = [[loss(world, theta + sign * step * e, factor) for sign in (1, -1)] for e in torch.eye(2).double()]
    return torch.stack([(up - down).detach() / (2 * step) for up, down in ends])


THETA = double([0.3, -0.2])


@pytest.mark.parametrize("world", [anisotropic(), MeanOnly(anisotropic())], ids=["exact covariance", "Tweedie"])
def test_a_parameter_of_an_energy_has_the_gradient_of_differences(world: Mixture) -> None:
    expected = by_differences(world, THETA)
    assert_close(slope_of(world, THETA), expected, 1e-6)
    rejected(assert_close, slope_of(world, THETA + 0.05), expected, 1e-6)


def test_so_have_a_weight_and_a_classifier_of_noisy_data() -> None:
    factors = (
        lambda theta: Energy(lambda x: x.square().sum(1), theta[0]),
        lambda theta: ClassifierGuidance(lambda x: -(x[:, 0] * theta[1]).square()),
        lambda theta: NoisyClassifierGuidance(lambda x, t: -(x[:, 0] * theta[1]).square() + theta[0] * x[:, 1]),
    )
    for factor in factors:
        assert_close(slope_of(anisotropic(), THETA, factor), by_differences(anisotropic(), THETA, factor), 1e-6)


def test_guidance_is_the_same_whether_parameters_are_learnt_or_not() -> None:
    guided = [(MeanOnly(anisotropic()) & wish(theta))(X_T, 0.4) for theta in (THETA, THETA.clone().requires_grad_())]
    assert_close(guided[0].mean, guided[1].mean.detach(), 1e-12)
    drawn = [sample(anisotropic() & wish(theta), 5, 4).x for theta in (THETA, THETA.clone().requires_grad_())]
    assert torch.equal(*drawn)


def test_no_graph_is_kept_where_nothing_is_learnt() -> None:
    """Else every step of a sampler would hold the graph of the energy."""
    belief: Any = anisotropic()(X_T, 0.4)
    learnt = THETA.clone().requires_grad_()
    assert wish(learnt).log_expect(belief).requires_grad
    assert not wish(THETA).log_expect(belief).requires_grad
    with torch.no_grad():
        assert not wish(learnt).log_expect(belief).requires_grad


def test_what_learns_is_seen_in_the_graph() -> None:
    x, weight = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    assert not learns((x.square() * 2).sum(), x)
    assert learns((x * weight.exp()).sum(), x)
    assert not learns((x * weight.detach()).sum(), {"a": x})

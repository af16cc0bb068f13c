"""What networks promise before any training: shapes, symmetries, a start at 0, and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.networks import MLP, MLPConfig, ParticleNetwork, ParticleNetworkConfig
from ornstein.networks.mlp import FourierFeatures
from ornstein.networks.particles import Pairs, RadialBasis
from worlds import rejected

SMALL = ParticleNetworkConfig(width=16, layers=2, radial=8, vectors=4)


def stirred(network: nn.Module) -> nn.Module:
    """The network with every parameter away from its start, where much is 0."""
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter += 0.1 * Keys.of(number, 1).normal(*parameter.shape)[0].to(parameter)
    return network


def normal(seed: int, n: int, *shape: int) -> Tensor:
    return Keys.of(seed, n).normal(*shape).float()


def times(n: int) -> Tensor:
    return torch.linspace(0.1, 0.9, n)


def rotation(d: int) -> Tensor:
    return torch.linalg.qr(Keys.of(4, 1).normal(d, d)[0]).Q.float()


# Particles --------------------------------------------------------------------------------------------

ORDER = torch.tensor([2, 0, 4, 1, 3])
MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "turned": lambda x: x @ rotation(3),
    "mirrored": lambda x: x * torch.tensor([1.0, 1.0, -1.0]),
    "exchanged": lambda x: x[:, ORDER],
}


def assert_equivariant(network: nn.Module, move: Callable[[Tensor], Tensor]) -> None:
    x, t = normal(0, 6, 5, 3), times(6)
    torch.testing.assert_close(network(move(x), t, {}), move(network(x, t, {})), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("move", MOVES)
def test_particles_are_equivariant(move: str) -> None:
    assert_equivariant(stirred(ParticleNetwork(SMALL)), MOVES[move])
    rejected(assert_equivariant, stirred(MLP(MLPConfig(width=16, layers=1), (5, 3))), MOVES[move])


def test_only_particles_of_a_kind_may_be_exchanged() -> None:
    network = stirred(ParticleNetwork(SMALL, (8, 1, 1, 6, 6)))
    assert_equivariant(network, lambda x: x[:, [0, 2, 1, 4, 3]])
    assert_equivariant(network, MOVES["turned"])
    rejected(assert_equivariant, network, MOVES["exchanged"])


@pytest.mark.parametrize("shape", [(4, 2), (5, 3), (2, 3)])
def test_particles_know_no_place_and_move_no_centre(shape: tuple[int, int]) -> None:
    network, x, t = stirred(ParticleNetwork(SMALL)), normal(1, 6, *shape), times(6)
    moved = network(x, t, {})
    assert moved.abs().amax() > 0.01
    torch.testing.assert_close(network(x + 2.0, t, {}), moved, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved.mean(1), torch.zeros(6, shape[1]), atol=1e-6, rtol=0)


def test_particles_start_still_and_feel_every_weight_after_one_step() -> None:
    network, x, t = ParticleNetwork(SMALL), normal(2, 16, 5, 3), times(16)
    assert not network(x, t, {}).any()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (network(x, t, {}) - x.roll(1, 1)).square().mean().backward()
        optimizer.step()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def test_particles_can_be_differentiated_twice() -> None:
    network = stirred(ParticleNetwork(SMALL)).double()
    x = Keys.of(3, 2).normal(3, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: network(x, times(2).double(), {}), x, atol=1e-4)


def test_coinciding_particles_have_finite_gradients() -> None:
    x = torch.zeros(2, 4, 3, requires_grad=True)
    stirred(ParticleNetwork(SMALL))(x, times(2), {}).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_pairs_are_all_differences_sums_and_their_means() -> None:
    x = normal(5, 4, 3)  # four particles
    pairs = Pairs(4, x)
    first, second = torch.triu_indices(4, 4, 1)
    torch.testing.assert_close(pairs.differences(x), x[first] - x[second])
    torch.testing.assert_close(pairs.sums(x), x[first] + x[second])
    torch.testing.assert_close(pairs.pulled(pairs.differences(x)), (4 * x - x.sum(0)) / 4)
    torch.testing.assert_close(pairs.averaged(torch.ones(6, 1)), torch.full((4, 1), 0.75))


def test_the_radial_basis_tells_near_distances_apart_and_has_no_denormal_numbers() -> None:
    basis = RadialBasis(24, 6.0)
    values = basis(torch.linspace(0, 12, 500))
    assert values.shape == (500, 27)
    assert not ((values != 0) & (values.abs() < torch.finfo(torch.float32).tiny)).any()
    apart = (basis(torch.linspace(0.1, 5.9, 100)) - basis(torch.linspace(0.15, 5.95, 100))).norm(dim=1)
    assert apart.min() > 0.05


# Vectors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (3, 4)])
@pytest.mark.parametrize("frequencies", [0, 1, 5])
def test_a_perceptron_keeps_the_shape_and_starts_at_zero(shape: tuple[int, ...], frequencies: int) -> None:
    network = MLP(MLPConfig(width=16, layers=2, frequencies=frequencies), shape)
    x, t = normal(6, 7, *shape), times(7)
    assert network(x, t, {}).shape == (7, *shape)
    assert not network(x, t, {}).any()
    stirred(network)
    assert (network(x, t, {}) - network(x, t.flip(0), {})).abs().amax() > 1e-3


def test_fourier_features_are_sines_and_cosines_up_to_the_highest_frequency() -> None:
    x = normal(7, 3, 2)
    features = FourierFeatures(3, 16.0)(x)
    rates = torch.tensor([1.0, 4.0, 16.0])
    angles = (x[..., None] * rates).flatten(1)
    torch.testing.assert_close(features, torch.cat([x, angles.sin(), angles.cos()], 1), atol=1e-5, rtol=1e-5)


def test_sizes_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match=r"network\.mlp\.frequencies is -1"):
        MLPConfig(frequencies=-1)
    with pytest.raises(InputError, match=r"network\.particles\.radial is 1, expected a number in \[2, 65536\]"):
        ParticleNetworkConfig(radial=1)

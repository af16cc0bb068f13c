"""What is said of a denoiser goes with it through every guide, and is printed in a line."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from nets import Net
from ornstein.beliefs import Belief, Normal
from ornstein.denoisers.base import Condition, Denoiser, Guided, NeuralDenoiser, Origin, Traits
from ornstein.denoisers.composition import ClassifierFreeGuidance, ComposedPrompts, mixture, product
from ornstein.denoisers.energy import EnergyDenoiser
from ornstein.denoisers.oracles import coupled as pairs
from ornstein.guidance.factors import Energy
from ornstein.guidance.interval import Interval
from ornstein.mcmc.targets import Boltzmann
from ornstein.sampling.unmasking import TemperatureTopP
from ornstein.spaces import Euclidean
from ornstein.states import State, Time
from ornstein.tasks.strength import ExponentialTilt

SPACE = Euclidean((2,))
ORIGIN = Origin("points", "<moons>", {}, {}, "")
TRAITS = Traits(SPACE, ORIGIN, calls=3, grids={2: (1.0, 0.5, 0.0)}, reach=2.0, time_independent=True)


class Own(Denoiser):
    """A user's own denoiser, as short as it can be."""

    traits = Traits(SPACE)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return Normal(torch.zeros(3, 2))


def network(traits: Traits = TRAITS) -> NeuralDenoiser:
    return NeuralDenoiser(Net(2), traits, {"label": torch.tensor(-1)})


def square(x: Any) -> torch.Tensor:
    return x.square().sum(1)


def test_a_users_own_denoiser_says_its_space_alone() -> None:
    own = Own()
    assert (own.space, own.origin, own.calls, own.provenance, own.time_independent) == (SPACE, None, 1, (), False)
    assert (own & Energy(square)).space is SPACE
    assert repr(own) == "Own(Euclidean 2)"


KEPT = ("space", "origin", "grids", "reach")
GUIDES: dict[str, tuple[Any, dict[str, Any]]] = {
    "prompt": (
        ClassifierFreeGuidance({"label": 1}, 2.0),
        {"calls": 6, "given": {"label": torch.tensor(1)}, "time_independent": True},
    ),
    "prompt alone": (ClassifierFreeGuidance({"label": None}), {"calls": 3, "given": {}, "time_independent": True}),
    "interval": (ClassifierFreeGuidance({}, 2.0, (0.1, 0.5)), {"calls": 6, "given": {}, "time_independent": False}),
    "prompts": (ComposedPrompts(("label",), 4), {"calls": 12, "given": {}, "time_independent": True}),
    "energy": (Energy(square), {"calls": 3, "given": {}, "time_independent": True}),
    "late": (Interval(Energy(square), 0.5), {"calls": 3, "given": {}, "time_independent": False}),
    "target": (Boltzmann(square), {"calls": 3, "given": {}, "time_independent": True}),
    "shift": (ExponentialTilt(torch.ones(2), 0.3), {"calls": 3, "given": {}, "time_independent": True}),
}


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_changes_what_it_changes_and_keeps_the_rest(name: str) -> None:
    guide, changed = GUIDES[name]
    guided = network() & guide
    assert [getattr(guided, trait) for trait in KEPT] == [getattr(TRAITS, trait) for trait in KEPT]
    assert {trait: getattr(guided, trait) for trait in changed} == changed
    assert len(guided.provenance) == 1
    assert len((guided & Energy(square)).provenance) == 2


def test_a_product_counts_all_calls_and_reaches_as_far_as_all_its_parts() -> None:
    far = network(replace(TRAITS, reach=9.0))
    both = product(far & ClassifierFreeGuidance({"label": 1}, 2.0), network(), far)
    assert (both.calls, both.reach, both.time_independent, both.fixed_condition) == (6 + 3 + 3, 2.0, False, {})
    assert both.grids == TRAITS.grids
    assert list(both.provenance[0]) == ["product"]
    assert list(mixture([far, network()]).provenance[0]) == ["mixture"]


def test_a_network_says_how_far_it_is_trusted_and_an_energy_what_it_costs() -> None:
    plain = network(Traits(SPACE))
    assert plain.reach == 5
    assert plain.having(reach=7.0).reach == 7
    assert plain.having(reach=7.0).network is plain.network
    assert EnergyDenoiser(Net(2), Traits(SPACE)).calls == 2


def test_states_go_where_the_weights_are_moved() -> None:
    guided = network() & ClassifierFreeGuidance({"label": 1}) & Energy(square)
    both = product(guided, network(), network())
    assert both.device == guided.device == torch.device("cpu")
    guided.denoiser.denoiser.network.to("meta")  # pyright: ignore[reportAttributeAccessIssue]
    assert both.device == guided.device == torch.device("meta")


def test_models_are_printed_in_a_line() -> None:
    guided = network() & ClassifierFreeGuidance({"label": 1}) & Energy(square) & Boltzmann(square)
    weights = sum(weight.numel() for weight in Net(2).parameters())
    assert repr(guided) == f"points/<moons>(Euclidean 2, {weights:,} parameters) & prompt & Energy & Boltzmann"
    assert "&lt;moons&gt;" in guided._repr_html_()
    assert "<moons>" not in guided._repr_html_()
    many = product(guided, NeuralDenoiser(nn.Sequential(*[nn.Linear(2, 2)] * 50), Traits(SPACE)), network())
    assert "\n" not in repr(many)
    assert repr(many).startswith("product(1 × points")
    assert repr(pairs(3, torch.ones(4, 4)) & TemperatureTopP(0.5)) == "Blocks(Categorical 6) & Sharpened"


class Forgetful(Guided):
    """A user's own wrapper that passes on what is within."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return self.denoiser(x_t, t, condition)


def test_a_users_own_wrapper_has_the_traits_of_what_is_within() -> None:
    inner = network() & ClassifierFreeGuidance({"label": 1}, 2.0)
    assert Forgetful(inner).traits == inner.traits
    assert repr(Forgetful(inner)) == repr(inner)

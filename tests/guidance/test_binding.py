"""Guides that are made of what a model knows, and the refusal of those that it does not know enough for."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from ornstein import InputError
from ornstein.denoisers.composition import ClassifierFreeGuidance, mixture, product
from ornstein.guidance.binding import ForModel, Several, metadata_of
from ornstein.guidance.factors import Energy, Factored
from ornstein.guidance.interval import Interval
from ornstein.guidance.measurements import Fixed
from ornstein.guidance.within import OnPart
from ornstein.mcmc.targets import Boltzmann
from ornstein.spaces import Euclidean
from ornstein.tasks.drawing import sample
from worlds import Blank, anisotropic, coupled

PLANE = Euclidean((2,))
KNOWING = Blank(PLANE, {"columns": ["east", "north"], "empty": []})


def along(column: str, **given: Any) -> ForModel:
    """Pushes along an axis, which only the model knows by its name."""

    def make(metadata: Mapping[str, Any], space: Any) -> Energy:
        k = metadata["columns"].index(column)
        return Energy(lambda x: x[:, k])

    return ForModel("along", make, ("columns",), given)


def test_a_guide_is_made_of_the_facts_of_the_model() -> None:
    guided: Any = KNOWING & along("north")
    assert isinstance(guided, Factored)
    (factor,) = guided.factors
    assert factor.log_g(torch.tensor([[1.0, 7.0]])).item() == -7  # pyright: ignore[reportAttributeAccessIssue]
    turned: Any = Blank(PLANE, {"columns": ["north", "east"]}) & along("north")
    assert turned.factors[0].log_g(torch.tensor([[1.0, 7.0]])).item() == -1


def test_what_the_model_does_not_know_is_named() -> None:
    for other in (Blank(PLANE, {}), Blank(PLANE, {"columns": []})):
        with pytest.raises(InputError, match=r"^along: needs a model that knows its columns; this one is tests/blank$"):
            _ = other & along("east")
    with pytest.raises(InputError, match="this one is Mixture, which comes from no training"):
        _ = anisotropic() & along("east")


def test_facts_can_be_said_by_hand_but_not_against_the_model() -> None:
    guided: Any = anisotropic() & along("north", columns=["north", "east"])
    assert guided.factors[0].log_g(torch.tensor([[1.0, 7.0]])).item() == -1
    assert metadata_of(KNOWING, "it", (), {"columns": ("east", "north")})["columns"] == ("east", "north")
    with pytest.raises(InputError, match=r"columns are said to be .* the model's own are"):
        _ = KNOWING & along("north", columns=["north", "east"])


def test_it_composes_like_what_it_becomes() -> None:
    two = KNOWING & along("north") & Energy(lambda x: x[:, 0]) & along("east")
    assert isinstance(two, Factored)
    assert len(two.factors) == 3
    prompt = ForModel("said", lambda metadata, space: ClassifierFreeGuidance({"label": 1}))
    inside = KNOWING & along("north") & prompt
    assert isinstance(inside, Factored)  # factors stay outside of prompts
    assert inside.fixed_condition["label"] == 1
    assert len((KNOWING & Several((along("north"), prompt, along("east")))).provenance) == 3
    target = KNOWING & Boltzmann(lambda x: x.sum(1)) & along("north")
    assert [next(iter(row)) for row in target.provenance] == ["factor", "target"]
    both = product(KNOWING & along("north"), KNOWING & prompt, KNOWING)
    assert len((both & along("east")).provenance) == 2
    assert (mixture([KNOWING & along("north"), KNOWING]) & along("east")).provenance[-1]["factor"] == "Energy"


def test_it_goes_to_a_part_and_becomes_late() -> None:
    world, where = coupled(), torch.tensor([True, False])
    first = ForModel("first", lambda metadata, space: Fixed(torch.zeros(space.shape).long(), where))
    guided: Any = world & first.on("tokens")
    assert isinstance(guided.factors[0], OnPart)
    late: Any = KNOWING & along("north").then(lambda factor: Interval(factor, 0.5))
    assert isinstance(late.factors[0], Interval)
    with pytest.raises(InputError, match="first: the model has no part 'letters', only x, tokens"):
        _ = world & first.on("letters")
    with pytest.raises(InputError, match="first: the model has no part 'tokens', only one whole"):
        _ = KNOWING & first.on("tokens")
    with pytest.raises(InputError, match="said: is no factor"):
        _ = world & ForModel("said", lambda metadata, space: ClassifierFreeGuidance({})).on("x")


def test_a_factor_on_a_part_that_is_not_there_is_refused() -> None:
    for factor in (Energy(lambda x: x[:, 0]), Interval(Energy(lambda x: x[:, 0]), 0.5)):
        with pytest.raises(InputError, match="the model has no part 'positions', only one whole"):
            _ = anisotropic() & factor.on("positions")
        with pytest.raises(InputError, match="the model has no part 'positions', only x, tokens"):
            _ = coupled() & factor.on("positions")


def test_bound_guides_are_weighed_by_particles() -> None:
    guide = along("east", columns=["east", "north"])
    drawn = sample(anisotropic() & guide, 8, 10, exact="particles", particles=64)
    by_hand = sample(anisotropic() & Energy(lambda x: x[:, 0]), 8, 10, exact="particles", particles=64)
    assert torch.equal(drawn.x, by_hand.x)  # pyright: ignore[reportArgumentType]

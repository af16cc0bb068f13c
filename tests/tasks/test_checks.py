"""What cannot be asked of `sample`, of a kernel or of the package is said in one line, before any work."""

from math import inf, nan
from typing import Any

import pytest
import torch

import ornstein
from ornstein import InputError
from ornstein.denoisers.base import require_guide
from ornstein.sampling.kernels import Predictor, Restart, require_eta, require_order
from ornstein.tasks.checks import require_sense, require_start
from ornstein.tasks.drawing import sample
from ornstein.values import is_number, require_whole
from worlds import anisotropic, sequences

NOT_WHOLE: list[Any] = [0, -1, 2.5, "3", None, inf, nan, True, [4]]


@pytest.mark.parametrize("value", NOT_WHOLE)
def test_numbers_of_things_are_whole(value: Any) -> None:
    with pytest.raises(InputError, match=r"steps is .*, expected a whole number of at least 1"):
        require_whole("steps", value, 1)
    require_whole("steps", 1, 1)


@pytest.mark.parametrize("value", ["a", None, nan, inf, True, 1 + 0j, [1.0]])
def test_what_is_no_number(value: Any) -> None:
    assert not is_number(value)
    for require in (require_eta, require_order):
        with pytest.raises(InputError, match=r"(eta|order) is .*, expected"):
            require(value)


@pytest.mark.parametrize("order", [0, 4, 2.0, "3"])
def test_orders_are_one_to_three(order: Any) -> None:
    with pytest.raises(InputError, match=r"order is .*, expected 1, 2 or 3"):
        require_order(order)


def test_kernels_say_what_is_out_of_range() -> None:
    with pytest.raises(InputError, match=r"eta is 1.5, expected a number in \[0, 1\]"):
        Predictor(eta=1.5)
    with pytest.raises(InputError, match=r"order is 4, expected 1, 2 or 3"):
        Predictor(order=4)
    with pytest.raises(InputError, match=r"depth is 3.0, expected a share of the way back, in \(0, 1\]"):
        Restart(depth=3.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("images/digits", 4, 0, 0), "'images/digits' is drawn from, expected a model"),
        ((None, 4, 0, 0), "a NoneType is drawn from"),
        ((anisotropic(), 2.5, 0, 0), "n is 2.5, expected a whole number"),
        ((anisotropic(), "4", 0, 0), "n is '4', expected a whole number"),
        ((anisotropic(), 0, 0, 0), "n is 0, expected a whole number of at least 1"),
        ((anisotropic(), 4, "a", 0), "seed is 'a', expected a whole number"),
        ((anisotropic(), 4, 2.5, 0), "seed is 2.5, expected a whole number"),
        ((anisotropic(), 4, 0, -1), "first is -1, expected a whole number of at least 0"),
    ],
)
def test_a_draw_is_of_a_model_and_whole_numbers(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_sense(*arguments)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (torch.zeros(4, 3), r"start: records must have shape \(2,\), found \(3,\)"),
        (torch.full((4, 2), nan), "start: record 0, element .* is nan"),
        (torch.zeros(3, 2), "start has 3 states, expected one for each of 4 samples"),
    ],
)
def test_a_start_is_clean_data(start: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_start(start, 4, anisotropic().space)
    with pytest.raises(InputError, match=message):
        sample(anisotropic(), 4, 2, start=start)


def test_a_start_of_letters_is_of_letters() -> None:
    with pytest.raises(InputError, match=r"start: record 0, position .* is category 3"):
        require_start(torch.full((2, 2), 3), 2, sequences("masked").space)


@pytest.mark.parametrize("guide", [3, None, "prompt", len])
def test_only_guides_guide(guide: Any) -> None:
    with pytest.raises(InputError, match=f"not by a {type(guide).__name__}"):
        require_guide(guide)


def test_a_function_is_told_how_it_guides() -> None:
    with pytest.raises(InputError, match=r"Energy\(function\), or Reward\(function\)"):
        require_guide(len)


@pytest.mark.parametrize(
    ("name", "meant"), [("Particle", "Particles"), ("smaple", "sample"), ("measurement", "Measurement")]
)
def test_a_misspelt_name_is_suggested(name: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=rf"no attribute '{name}'. Did you mean: '{meant}'"):
        getattr(ornstein, name)


def test_what_resembles_nothing_has_no_suggestion() -> None:
    with pytest.raises(AttributeError) as error:
        _ = ornstein.zzzzzz  # pyright: ignore[reportAttributeAccessIssue]
    assert "Did you mean" not in str(error.value)

"""What users' functions may not return: each is named with its factor, where it once gave unguided or NaN samples."""

import sys
from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch

from ornstein import InputError
from ornstein.guidance.classifiers import ClassifierGuidance, NoisyClassifierGuidance
from ornstein.guidance.factors import Energy, Factor, Reward
from ornstein.guidance.functions import require_function, require_weight
from ornstein.guidance.interval import Interval
from ornstein.mcmc.densities import Density
from ornstein.sampling.particles import Particles
from ornstein.tasks.boltzmann import boltzmann
from ornstein.tasks.drawing import sample
from worlds import anisotropic

WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "scalar": (lambda x: x.sum(), r"returned the shape \(\), expected one number a sample, \(\d+,\)"),
    "column": (lambda x: x.sum(1, keepdim=True), r"returned the shape \(\d+, 1\)"),
    "each number": (lambda x: x.square(), r"returned the shape \(\d+, 2\)"),
    "nothing": (lambda x: None, "returned a NoneType, expected a tensor"),
    "number": (lambda x: 1.0, "returned a float, expected a tensor"),
    "NumPy": (lambda x: np.zeros(len(x)), "returned a ndarray, expected a tensor"),
    "complex numbers": (lambda x: x.sum(1) + 0j, "returned complex numbers, expected real ones"),
    "a list": (lambda x: [1.0] * len(x), "returned a list, expected a tensor"),
    "nan": (lambda x: x.sum(1) * nan, "gives a log g of nan"),
    "minus infinity": (lambda x: x.sum(1) - inf, "gives a log g of inf"),
}
FLAT: dict[str, Callable[[Any], Any]] = {
    "detached": lambda x: x.detach().sum(1),
    "integers": lambda x: (x > 0).sum(1),
    "constant": lambda x: torch.ones(len(x)),
    "of its parameters alone": lambda x: torch.ones(len(x), requires_grad=True) + x.detach().sum(1),
}


def through(factor: Factor, exact: str) -> None:
    options: Any = {"exact": exact, "particles": 8} if exact == "particles" else {}
    sample(anisotropic() & factor, 4, 3, **options)


@pytest.mark.parametrize("exact", ["off", "particles"])
@pytest.mark.parametrize("name", WRONG)
def test_an_energy_of_the_wrong_kind_is_named(name: str, exact: str) -> None:
    function, said = WRONG[name]
    with pytest.raises(InputError, match=f"^Energy of <lambda> {said}"):
        through(Energy(function), exact)


@pytest.mark.parametrize("name", [name for name in WRONG if name != "minus infinity"])
def test_so_are_other_factors(name: str) -> None:
    function, said = WRONG[name]
    with pytest.raises(InputError, match=f"ClassifierGuidance of <lambda> {said}"):
        through(ClassifierGuidance(function), "off")
    with pytest.raises(InputError, match=f"NoisyClassifierGuidance of <lambda> {said}"):
        through(NoisyClassifierGuidance(lambda x, t: function(x)), "off")
    with pytest.raises(InputError, match=f"Reward of <lambda> {said}"):
        through(Reward(function), "particles")


@pytest.mark.parametrize("exact", ["off", "particles"])
@pytest.mark.parametrize("name", FLAT)
def test_an_energy_without_a_gradient_is_pointed_to_black_boxes(name: str, exact: str) -> None:
    with pytest.raises(InputError, match=r"Energy of <lambda> is not differentiable.*Reward"):
        through(Energy(FLAT[name]), exact)
    through(Reward(FLAT[name]), "particles")


def test_a_slope_that_is_no_number_is_named() -> None:
    with pytest.raises(InputError, match="has a gradient that is not finite"):
        through(Energy(lambda x: (0 * x).abs().sqrt().sum(1)), "off")


def test_what_is_impossible_may_be_said() -> None:
    through(Reward(lambda x: torch.where(x[:, 0] > 0, 0.0, -inf)), "particles")
    with pytest.raises(InputError):
        through(Reward(lambda x: torch.where(x[:, 0] > 0, 0.0, inf)), "particles")


def test_good_functions_pass() -> None:
    """Beside all that is refused."""
    for factor in (Energy(lambda x: x.square().sum(1)), ClassifierGuidance(lambda x: -x.square().sum(1), 0.5)):
        through(factor, "off")
        through(factor, "particles")


def divided(x: Any) -> Any:
    return x.sum(1) * (1 / 0)


def left_early(x: Any) -> Any:
    sys.exit(5)


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.sum(1)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        raise ValueError("no way back")


RAISING = {
    "an error": (divided, r"raised ZeroDivisionError: division by zero \(.*test_functions.py, line \d+\)"),
    "an exit": (left_early, r"asked the program to exit: 5 \(.*test_functions.py, line \d+\)"),
    "an argument too many": (lambda x, y: x, r"raised TypeError: .* missing 1 required positional argument"),
    "of NumPy": (lambda x: x.numpy().sum(1), r"raised RuntimeError: Can't call numpy\(\)"),
    "in its gradient": (Broken.apply, r"raised ValueError \(in its gradient\): no way back \(.*test_functions.py"),
}


@pytest.mark.parametrize("name", RAISING)
def test_an_energy_that_raises_is_named_with_its_place(name: str) -> None:
    function, said = RAISING[name]
    with pytest.raises(InputError, match=rf"Energy of .* {said}"):
        through(Energy(function), "off")
    if name not in ("of NumPy", "in its gradient"):
        with pytest.raises(InputError, match=f"Reward of .* {said}"):
            through(Reward(function), "particles")
        with pytest.raises(InputError, match=f"BoltzmannFactor of .* {said}"):
            boltzmann(anisotropic(), function, 4)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_is_no_fault_of_an_energy_is_not_blamed_on_it(error: type[BaseException]) -> None:
    def stopped(x: Any) -> Any:
        raise error

    with pytest.raises(error):
        through(Energy(stopped), "off")


@pytest.mark.parametrize("kind", [Energy, ClassifierGuidance, Reward, NoisyClassifierGuidance])
def test_what_cannot_be_called_is_refused_at_once(kind: Any) -> None:
    with pytest.raises(InputError, match=f"{kind.__name__} is of a float, expected a function"):
        require_function(kind(divided), 3.0)


def test_energies_of_moves_are_one_real_number_a_sample() -> None:
    density = Density.of_energy(lambda x: x.square().sum(1) + 0j, anisotropic().space)
    with pytest.raises(InputError, match="is complex, expected real numbers"):
        density.at(torch.zeros(3, 2))
    for value in (None, [1.0, 1.0, 1.0]):
        energy: Any = lambda x, value=value: value  # noqa: E731
        with pytest.raises(InputError, match=r"must be of shape \(3,\), found (NoneType|list)"):
            Density.of_energy(energy, anisotropic().space).at(torch.zeros(3, 2))


@pytest.mark.parametrize("weight", ["a", None, torch.ones(2)])
def test_a_weight_is_one_number(weight: Any) -> None:
    with pytest.raises(InputError, match=r"weight is .*, expected a finite number"):
        require_weight(Energy(divided), weight)


@pytest.mark.parametrize("weight", [nan, inf, -inf])
@pytest.mark.parametrize("kind", [Energy, ClassifierGuidance, Reward, NoisyClassifierGuidance])
def test_weights_are_numbers(kind: Any, weight: float) -> None:
    with pytest.raises(InputError, match=f"weight is {weight}, expected a finite number"):
        kind(lambda x: x.sum(1), weight)


@pytest.mark.parametrize("until", [-0.1, 1.5, nan])
def test_late_is_a_time(until: float) -> None:
    with pytest.raises(InputError, match=r"Interval: until is .*, expected a time in \[0, 1\]"):
        Interval(Energy(lambda x: x.sum(1)), until)


@pytest.mark.parametrize("temper", [-3.0, nan, inf])
def test_factors_are_weakened_not_strengthened(temper: float) -> None:
    with pytest.raises(InputError, match="temper is"):
        Particles(temper=temper)
    with pytest.raises(InputError, match="temper is"):
        sample(anisotropic() & Energy(lambda x: x.sum(1)), 4, 3, exact="particles", particles=8, temper=temper)

"""Energies of sequences as they are written, in kT: of ViennaRNA or any other program, which knows no gradient.

on.boltzmann … --exact mcmc:    p(x) = exp(−E(text of x)) / Z over all sequences of the model's letters and length
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ... import code
from ...errors import InputError
from ...guidance.binding import ForModel
from ...guidance.functions import name_of
from ...mcmc.targets import Boltzmann
from ...spaces import Categorical

Energy = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class OfTexts:
    """An energy of texts as one of numbered letters; −1 where no position exists.

    Attributes:
        energy: of different texts, one number each.
        letters: of the categories, in their order.
    """

    energy: Energy
    letters: str

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return name_of(self.energy)

    def __call__(self, x: Int[Tensor, "batch length"]) -> Float[Tensor, " batch"]:
        texts = ["".join(self.letters[k] for k in row if k >= 0) for row in x.tolist()]
        different = sorted(set(texts))  # a population holds many a sequence twice
        values = _numbers(self.energy(different), len(different))
        place = {text: k for k, text in enumerate(different)}
        return values[[place[text] for text in texts]].to(x.device)


def boltzmann(energy: Energy | Any, alphabet: str | None = None) -> ForModel:
    """exp(−E) over all sequences, for `sample(model & boltzmann(energy), n, exact="mcmc")`.

    Args:
        energy: in kT, of a list of different texts; one number each, +inf for what cannot be. Gaps are letters.
        alphabet: the letters, in the order of the categories, for a denoiser of your own.
    """
    if not callable(energy):
        raise InputError(f"boltzmann is of a {type(energy).__name__}, expected a function of texts")

    def make(metadata: Mapping[str, Any], space: Any) -> Boltzmann:
        letters = metadata["alphabet"]
        if not isinstance(space, Categorical) or len(space.shape) != 1 or space.size != len(letters):
            raise InputError(f"boltzmann: is about sequences of {letters}, this model draws {type(space).__name__}")
        return Boltzmann(OfTexts(energy, letters), numbered=True)

    return ForModel("boltzmann", make, ("alphabet",), {} if alphabet is None else {"alphabet": alphabet})


def named(source: str) -> ForModel:
    """`boltzmann` of a function of the user's, path/to/file.py:name, which the command line must name."""
    if not code.is_code(source):
        raise InputError(f"--energy {source}: expected path/to/file.py:name, a function of a list of texts, in kT")
    path, names = code.run(source)
    name = source.rpartition(":")[2]
    if not callable(names.get(name)):
        found = f"{name} is a {type(names[name]).__name__}" if name in names else f"has no {name!r}"
        raise InputError(f"{path}: {found}, expected a function of a list of texts")
    return boltzmann(names[name])


def require_alone(asked: Any, holding: Sequence[str]) -> None:
    """InputError for what was asked for and exp(−E) would not hold.

    Args:
        asked: the request.
        holding: names of what must hold.
    """
    said = {name: getattr(asked, name) is not None for name in holding}
    said |= {name: getattr(asked, name) != 1 for name in ("temperature", "top_p", "guidance")}
    flag = next((name.replace("_", "-") for name, there in said.items() if there), None)
    if flag:
        raise InputError(
            f"--{flag}: samples of --energy are of exp(-E) alone, which knows nothing of it; let the energy be inf "
            "where something must not be"
        )


def _numbers(values: Any, n: int) -> Float[Tensor, " n"]:
    """One real number a text; InputError for anything else."""
    try:
        found = torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the energy of {n} texts is a {type(values).__name__}, expected numbers ({error})") from None
    if found.shape != (n,):
        raise InputError(f"the energy of {n} texts must be {n} numbers, found the shape {tuple(found.shape)}")
    return found

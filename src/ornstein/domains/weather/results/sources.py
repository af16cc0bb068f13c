"""Members as files hold them: spread about the mean of their case, in the units of the variables.

u' = u + (f − 1)(u − ū), ū the mean over all members of a case and f a factor by variable and step. u is the variable,
or its root if it is never negative: its square stays so, and a zero is left one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....tasks.samples import Samples
from .frame import Frame
from .waiting import known_at


@runtime_checkable
class States(Protocol):
    """Samples as they were drawn, in memory (`Held`) or in the scratch folder (`Waiting`)."""

    def state(self, number: int) -> Float[np.ndarray, "channels *grid"]:
        """A sample."""
        ...

    def known(self, case: int) -> Mapping[str, Float[np.ndarray, "channels *grid"]]:
        """What is known of a case, name → field."""
        ...


class Held:
    """Samples in memory."""

    def __init__(self, samples: Samples, members: int) -> None:
        """Copies nothing.

        Args:
            samples: some, in a row.
            members: of each case.
        """
        self._samples, self._members = samples, members

    def state(self, number: int) -> Float[np.ndarray, "channels *grid"]:
        return self._samples.x[number - self._samples.first].detach().cpu().float().numpy()

    def known(self, case: int) -> Mapping[str, Float[np.ndarray, "channels *grid"]]:
        return known_at(self._samples, max(case * self._members - self._samples.first, 0))


class Source:
    """Members as they are written, field by field."""

    def __init__(self, states: States, frame: Frame, numbers: range, moved: bool) -> None:
        """Reads nothing yet.

        Args:
            states: of the samples.
            frame: what they are of.
            numbers: of all samples that are wanted.
            moved: whether members are spread about their mean.
        """
        self.states, self.frame, self.numbers, self.moved = states, frame, numbers, moved

    def members(self, case: int) -> Iterator[tuple[int, Float[np.ndarray, "v s *grid"]]]:
        """Number and fields of each, in the units of the variables."""
        numbers = self.frame.numbers(case, self.numbers)
        mean, factor = self._mean(numbers), self.frame.factor(case)
        for number in numbers:
            fields = self.frame.fields(torch.from_numpy(self.states.state(number))[None])
            if mean is not None:
                fields = self.frame.spread(fields, mean, factor)
            yield number - case * self.frame.members, self._seen(fields[0].numpy())

    def _mean(self, numbers: range) -> Tensor | None:
        """Of u, over the members of a case, from which they are moved away; None where they stay."""
        if not self.moved or not self._is_whole(numbers):
            return None
        total: Any = 0.0
        for number in numbers:
            fields = self.frame.fields(torch.from_numpy(self.states.state(number))[None])
            total = total + self.frame.rooted(fields)[0].double()
        return (total / len(numbers)).float()

    def _is_whole(self, numbers: range) -> bool:
        """Whether these are all members of their case, of which there are two at least."""
        return len(numbers) == self.frame.members > 1

    def known(self, case: int) -> dict[str, Float[np.ndarray, "v s *grid"]]:
        """What is known of it, in the units of the variables."""
        found = {}
        for name, value in self.states.known(case).items():
            fields = self.frame.fields(torch.from_numpy(value)[None])
            found[name] = self._seen((self.frame.squared(fields) if name == "base" else fields)[0].numpy())
        return found

    def _seen(self, fields: Float[np.ndarray, "v s *grid"]) -> Float[np.ndarray, "v s *grid"]:
        """NaN where the truth was never known."""
        unseen = self.frame.unseen
        return fields if unseen is None else np.where(unseen, np.float32("nan"), fields)

    @property
    def notes(self) -> list[str]:
        """How members were spread about their mean, in words."""
        if not self.moved:
            return []
        factors, cases = self.frame.factors or (), self.frame.cases(self.numbers)
        left = sum(not self._is_whole(self.frame.numbers(case, self.numbers)) for case in cases)
        said = f"recalibrated: members are spread about their mean by {min(factors):.3f} to {max(factors):.3f}"
        few = f"{left} cases are not recalibrated, of which not all members were drawn"
        return [said, *([few] if left else [])]

"""What a belief cost beside the calls of the network, and how well the linear equations behind it were solved.

A denoiser with factors asks for the belief's covariance, which for a network is a vector–Jacobian product: one product
is a gradient of each network that the belief is made of. A `Tally` rides on the belief while it is formed (see
`beliefs.counted`), and the kernels add what it holds to `SamplerState.effort` (`SamplerState.gradients`,
`SamplerState.notes`). Gradients of a factor itself, such as those of a classifier or of an energy, are not of the
denoising network and are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Effort:
    """Sums of it are efforts again.

    Attributes:
        gradients: vector–Jacobian products of the network, of each sample: all samples of a batch take part in every
            product, as long as one of them needs it; a sample where batches took different numbers.
        unsolved: the largest relative residual |r − S u| / |r| that a linear solve left above its tolerance, a sample;
            0 where every solve reached its tolerance.
        capped: how many solves ended at their cap of iterations, a sample.
        residual: the largest relative residual that any iterated solve left, a sample.
        doubt: the standard error of the log evidence from the last log-determinant that was estimated, nats, a sample;
            much of it is the same in all samples.
    """

    gradients: int | Int[Tensor, " batch"] = 0
    unsolved: Float[Tensor, " #batch"] | float = 0.0
    capped: Int[Tensor, " #batch"] | int = 0
    residual: Float[Tensor, " #batch"] | float = 0.0
    doubt: Float[Tensor, " #batch"] | float | None = None

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            self.gradients + other.gradients,
            _larger(self.unsolved, other.unsolved),
            self.capped + other.capped,
            _larger(self.residual, other.residual),
            self.doubt if other.doubt is None else other.doubt,
        )

    @classmethod
    def joined(cls, parts: Sequence["Effort"], sizes: Sequence[int]) -> "Effort":
        """Of batches of these sizes, as one batch."""
        if len(parts) == 1:
            return parts[0]
        return cls(**{one.name: _rows([getattr(part, one.name) for part in parts], sizes) for one in fields(cls)})

    def each(self, n: int) -> dict[str, Tensor]:
        """Of each of n samples, by name, (n,): counts as int64, all else as float64; without what is None."""
        found = {}
        for name, value in ((one.name, getattr(self, one.name)) for one in fields(self)):
            if value is not None:
                kind = torch.int64 if name in ("gradients", "capped") else torch.float64
                found[name] = torch.as_tensor(value, dtype=kind).expand(n)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for a user; none if every solve reached its tolerance or a direction without curvature, and no
        log-determinant is in doubt by a tenth of a nat.
        """
        return (*self._of_solves(), *self._of_determinants())

    def _of_solves(self) -> tuple[str, ...]:
        capped = torch.as_tensor(self.capped).reshape(-1)
        if not capped.any():
            return ()
        worst = float(torch.as_tensor(self.unsolved).max())
        share = f"{int((capped > 0).sum())} of {len(capped)} samples"
        return (
            f"linear solves of measurements ended at their cap of iterations in {share}, {int(capped.max())} times in "
            f"one of them, with a relative residual of up to {worst:.1e}: raise `iterations`, or `tolerance`",
        )

    def _of_determinants(self) -> tuple[str, ...]:
        doubt = 0.0 if self.doubt is None else float(torch.as_tensor(self.doubt).max())
        if doubt < 0.1:
            return ()
        return (f"a log-determinant in the log evidence was estimated, to ± {doubt:.1g} nats: raise `probes`",)


@dataclass(eq=False)
class Tally:
    """The effort so far behind one belief; it grows while the belief is formed, and whenever its covariance is used.

    Attributes:
        valued: whether anybody asks for the values of factors. Where only the belief given them counts, what belongs to
            the value alone is left out: the log-determinant of a large solve.
    """

    effort: Effort = field(default_factory=Effort)
    valued: bool = True

    def add(self, effort: Effort) -> None:
        self.effort = self.effort + effort


def _rows(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Values of batches of these sizes, a sample; one value where it is the same of all."""
    if all(not isinstance(value, Tensor) and value == values[0] for value in values):
        return values[0]
    return torch.cat([torch.as_tensor(value).expand(n) for value, n in zip(values, sizes, strict=True)])


def _larger(a: Tensor | float, b: Tensor | float) -> Tensor | float:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.maximum(a, b)
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return b if isinstance(b, Tensor) else a  # the number is the 0 of nothing left
    return max(a, b)

"""A x₀ = b, exactly: in the mean of the belief at every step, and in every sample.

With x₀ ~ N(m, C), given A x₀ = b to within the slack, and then by the nearest state with A x = b:

    log N(b; A m, S),      m += C Aᵀ S⁻¹ (b − A m),      m += A⁺ (b − A m),      S = A C Aᵀ + slack² diag |a_i|²

The first move is by the belief's covariance, which says which directions have to give way; the second closes what the
slack left open. Without the first, samples would fulfil the equations and follow the wrong law. Source: conditioning of
Gaussian fields by kriging, e.g. Rue & Held 2005 (Gaussian Markov Random Fields, §2.3.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...spaces import Euclidean, Space
from ...states import State
from ...values import Numbers, as_numbers, as_tensor, is_number
from ..exactly import Exact
from ..functions import called, name_of
from ..grams import FORMED
from ..operators import Operator, real_parts
from ..projections import Equation, projection
from ..solves import Sight


@dataclass(frozen=True, eq=False)
class Constraint(Exact):
    """A x₀ = b, of continuous data: to 1e-12 of their scale in float64, and to 1e-5 in float32.

    Rows may depend on one another; if they contradict one another it is said by how much. Up to 1,024 equations A Aᵀ is
    decomposed once, as it is where waves or the values themselves make it diagonal, of any size; beyond, each step
    solves it by conjugate gradients. In a space with fewer degrees of freedom (centred points, masks) the equations
    hold within these. Several constraints, and what is `Fixed`, hold together.

    Attributes:
        operator: A, an Operator; a function that is linear becomes one by `operators.linear`.
        b: of the shape of A x₀ without the batch axis, or with it, one a sample (which cannot be one population of
            particles), or one number for all of them, or the name of the condition that holds it; in the units of A x₀.
            What is given in float32 counts to its own precision where rows depend on one another.
        slack: with which the equations are weighed while x₀ is noisy, in the units of x₀: row i to within
            slack · |a_i|. The log evidence is that of b with noise so wide.
    """

    operator: Operator
    b: Numbers | str
    slack: float = 1e-3

    def __post_init__(self) -> None:
        if not isinstance(self.operator, Operator):
            raise InputError(
                f"Constraint is of a {type(self.operator).__name__}, expected an Operator; of a linear function: "
                "operators.linear(function, shape)"
            )
        if not is_number(self.slack) or self.slack <= 0:
            raise InputError(f"{self.name}: slack is {self.slack}, expected a positive width in the units of the data")
        if not isinstance(self.b, str):
            self._take_numbers(self.b)

    def _take_numbers(self, value: Any) -> None:
        b = as_tensor(value, f"{self.name}: b")
        if b.is_complex():
            b = torch.view_as_real(b.resolve_conj())
            object.__setattr__(self, "operator", real_parts(self.operator))
        elif isinstance(value, list | tuple | int | float) and b.dtype != torch.bool:
            b = torch.as_tensor(value, dtype=torch.float64)  # the digits that were written, not float32's
        object.__setattr__(self, "b", as_numbers(b, f"{self.name}: b"))

    @property
    def name(self) -> str:
        """For errors."""
        return f"Constraint of {name_of(self.operator)}"

    @property
    def provenance(self) -> Mapping[str, Any]:
        numbers = {"b": self.b} if isinstance(self.b, str) else {"numbers": self.b.numel()}
        return {"factor": "Constraint", "of": name_of(self.operator), **numbers, "slack": float(self.slack)}

    @property
    def joins(self) -> bool:
        return type(self) is Constraint

    @property
    def numbers(self) -> int:
        if isinstance(self.b, str) or not self.b.ndim:
            return FORMED  # how many equations one number stands for is not said: take them for many
        return self.b[0].numel() if self.b.ndim > 1 else self.b.numel()

    @property
    def names(self) -> frozenset[str]:
        return frozenset([self.b] if isinstance(self.b, str) else [])

    def bound(self, condition: Condition | None) -> "Constraint":
        if not isinstance(self.b, str):
            return self
        if self.b not in (condition or {}):
            raise InputError(f"{self.name}: b is the condition {self.b!r}: pass condition={{{self.b!r}: ...}}")
        return replace(self, b=(condition or {})[self.b])

    def shared(self, x: State) -> bool:
        assert isinstance(x, Tensor)
        if isinstance(self.b, str):
            return True  # what the samples are given is compared where they are given it
        return self.b.ndim == 0 or self.b.ndim < called(self, self.operator, x).ndim or len(self.b) == 1

    def require_fit(self, space: Space) -> None:
        if not isinstance(space, Euclidean):
            raise InputError(f"{self.name} is of continuous data, not of {type(space).__name__}: see .on(name)")
        samples = getattr(self.operator, "samples", None) or 1
        zeros = torch.zeros(samples, *space.shape, dtype=torch.float64)
        seen = called(self, self.operator, zeros)
        if isinstance(self.b, Tensor) and space.mask is None:  # or else it is tried on the samples
            own = len(self.b) if self.b.ndim == seen.ndim else 1
            zeros = zeros[:1].expand(max(samples, own), *space.shape)
            self.equation(zeros).held(zeros, space)

    def equation(self, mean: Float[Tensor, "batch ..."]) -> Equation:
        seen = called(self, self.operator, mean.detach())
        if not isinstance(seen, Tensor) or not seen.is_floating_point() or not seen.ndim or len(seen) != len(mean):
            found = f"{tuple(seen.shape)} of {seen.dtype}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
            raise InputError(f"{self.name}: the operator gives {found}, expected real numbers, ({len(mean)}, ...)")
        return Equation(self.operator, self._whole(tuple(seen.shape)), self.name)

    def _whole(self, seen: tuple[int, ...]) -> Float[Tensor, "#batch ..."]:
        """b with its batch axis."""
        b = self.b
        if isinstance(b, str):
            raise InputError(f"{self.name}: b is the condition {b!r}, which the samples are given")
        if b.ndim == 0:
            return b.expand(1, *seen[1:])
        if tuple(b.shape) == seen[1:]:
            return b[None]
        if tuple(b.shape) not in (seen, (1, *seen[1:])):
            raise InputError(f"{self.name}: b has the shape {tuple(b.shape)}, its operator gives {seen[1:]}")
        return b

    def sight(self, mean: Float[Tensor, "batch ..."]) -> Sight:
        exactly = self.equation(mean)
        std = self.slack * projection(self.operator, mean).lengths.mean(0).to(mean)
        missed = exactly.b.to(mean) - self.operator(mean.detach())
        return Sight.of(self.operator, missed, std, mean.detach(), self.name)

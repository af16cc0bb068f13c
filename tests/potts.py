"""Energies of letters and of atoms whose log Z is known: neighbours in a chain, and two atoms with types on a line."""

from typing import Any

import torch
from torch import Tensor

from ornstein.keys import Keys


def some_chain(length: int, letters: int, strength: float) -> tuple[Tensor, Tensor]:
    """Fields (length, letters) and couplings (length − 1, letters, letters) of random normal numbers, in kT."""
    numbers = Keys.of(11, 1).normal(length, letters + letters**2)[0]
    couplings = numbers[1:, letters:].reshape(length - 1, letters, letters)
    return strength * numbers[:, :letters], strength * couplings


def chain_energy(fields: Tensor, couplings: Tensor) -> Any:
    """Of one-hot codes."""

    def energy(code: Tensor) -> Tensor:
        along = torch.einsum("bia,iac,bic->b", code[:, :-1], couplings, code[:, 1:])
        return -(code * fields).sum((1, 2)) - along

    return energy


def transfer(fields: Tensor, couplings: Tensor) -> float:
    """log Z of a chain by its transfer matrices."""
    total = fields[0]
    for field, coupling in zip(fields[1:], couplings, strict=True):
        total = (total[:, None] + coupling).logsumexp(0) + field
    return total.logsumexp(0).item()


STIFFNESS = torch.tensor([1.0, 3.0], dtype=torch.float64)
REPULSION = torch.tensor([[4.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)


def atoms_energy(code: Any) -> Tensor:
    """Two atoms of two types on a line, each held at 0 by a spring of its type; types repel or attract one another."""
    x, types = code["x"], code["tokens"]
    springs = 0.5 * (types @ STIFFNESS * x.square()).sum(1)
    strength = torch.einsum("ba,ac,bc->b", types[:, 0], REPULSION, types[:, 1])
    return springs + strength * (-(x[:, 0] - x[:, 1]).square()).exp() - types[:, :, 1].sum(1)


def atoms_by_quadrature() -> tuple[Tensor, float]:
    """The shares of the four pairs of types, (2, 2), and log Z."""
    line = torch.linspace(-8, 8, 801, dtype=torch.float64)
    x = torch.cartesian_prod(line, line)
    types = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    each = []
    for pair in types:
        code = torch.nn.functional.one_hot(pair, 2).double().expand(len(x), 2, 2)
        each.append((-atoms_energy({"x": x, "tokens": code})).logsumexp(0) + 2 * (line[1] - line[0]).log())
    log_z = torch.stack(each).logsumexp(0)
    return (torch.stack(each) - log_z).exp().reshape(2, 2), log_z.item()

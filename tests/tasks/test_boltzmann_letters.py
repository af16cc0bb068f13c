"""Samples of exp(−E) of sequences and of products: worlds that can be summed, and sixty letters by transfer matrices.

What proposes is an exact denoiser of some other law; what it draws, unweighed, fails each test of its samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Probs
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.denoisers.oracles import enumerated, joint_mixture
from ornstein.domains.sequences.folding.structures import KT, vienna
from ornstein.errors import InputError
from ornstein.guidance.factors import Reward
from ornstein.keys import Keys
from ornstein.mcmc.targets import Boltzmann
from ornstein.spaces import Categorical
from ornstein.states import State, Time, leaves
from ornstein.tasks.boltzmann import boltzmann, refine
from ornstein.tasks.drawing import sample
from ornstein.tasks.samples import Samples
from potts import atoms_by_quadrature, atoms_energy, chain_energy, some_chain, transfer
from worlds import counts_of, double, rejected, table

LENGTH, LETTERS = 4, 3
CHAIN = some_chain(LENGTH, LETTERS, 1.0)
ENERGY, LOG_Z = chain_energy(*CHAIN), transfer(*CHAIN)
SPACE = Categorical.masked((LENGTH,), LETTERS)
EVERY = torch.cartesian_prod(*[torch.arange(LETTERS)] * LENGTH)
WRONG = enumerated(SPACE, table(LETTERS, LENGTH))
SMALL: dict[str, Any] = {"check": 300, "moves": 2, "particles": 400}


def one_hot(x: Tensor, size: int = LETTERS) -> Tensor:
    return torch.nn.functional.one_hot(x, size).double()


def numbered(x: Tensor) -> Tensor:
    """The energy as a program that knows no gradients has it."""
    return ENERGY(one_hot(x)).detach()


LAW = (-ENERGY(one_hot(EVERY))).softmax(0)


def assert_law(x: Tensor, law: Tensor = LAW, every: Tensor = EVERY) -> None:
    """Each letter at each position, and the mean of log p, within errors that allow for a half that repeats others."""
    size = int(every.max()) + 1
    index = (x[:, None] == every).all(2).double().argmax(1)
    found, values = (
        torch.cat([one_hot(y, size).flatten(1), p.log()[:, None]], 1) for y, p in ((x, law[index]), (every, law))
    )
    mean = law @ values
    spread = (law @ (values - mean).square()).sqrt()
    errors = (found.mean(0) - mean) / (spread * (2 / len(x)) ** 0.5).clamp(min=1e-9)
    assert errors.abs().max() < 4, f"off by {errors.tolist()} standard errors"


def assert_evidence(found: Samples, log_z: float) -> None:
    """log Z within four errors, and the errors such that this says something."""
    exactness: Any = found.exactness
    assert exactness.passed, exactness.verdict
    assert exactness.error < 0.15
    assert exactness.log_evidence == pytest.approx(log_z, abs=4 * exactness.error)


@cache
def drawn() -> Samples:
    return boltzmann(WRONG, ENERGY, 200, seed=1, steps=8, **SMALL)


def test_sequences_follow_an_energy() -> None:
    assert_law(drawn().x)
    assert_evidence(drawn(), LOG_Z)
    assert drawn().x.dtype == torch.int64
    assert drawn().settings["way"] == "chain"
    rejected(assert_law, WRONG.draw(Keys.of(1, 200)))  # the draws of the model, without weights
    rejected(assert_evidence, drawn(), 0.0)  # as if its own law were the answer


def test_programs_without_gradients_are_followed() -> None:
    found = boltzmann(WRONG, numbered, 200, seed=2, steps=8, numbered=True, **SMALL)
    assert_law(found.x)
    assert_evidence(found, LOG_Z)
    assert found.exactness.gradients == 0
    assert "Substitutions" in found.settings["kernels"][0]


@pytest.mark.slow
def test_wrong_weights_alone_are_worth_little_and_it_is_said() -> None:
    assert drawn().exactness.ess < 0.2
    alone = boltzmann(WRONG, ENERGY, 200, seed=1, steps=8, check=0, moves=2, particles=400)
    assert not alone.exactness.exact


def test_given_sequences_are_refined() -> None:
    x = WRONG.draw(Keys.of(3, 300))
    found = refine(x, ENERGY, 200, space=SPACE, seed=1, moves=3, check=300, particles=200)
    assert_law(found.x)
    assert_evidence(found, LOG_Z)
    rejected(assert_law, x)


def test_a_law_times_a_program() -> None:
    """An oracle with a density, and a factor that has no gradient: both are exact for letters."""
    found = sample(WRONG & Reward(lambda x: (x == 1).double().sum(1), 0.8), 200, 8, exact="mcmc", seed=3, **SMALL)
    weights = table(LETTERS, LENGTH).flatten() * (0.8 * (EVERY == 1).double().sum(1)).exp()
    assert_law(found.x, weights / weights.sum())
    rejected(assert_law, WRONG.draw(Keys.of(1, 200)), weights / weights.sum())
    assert_evidence(found, weights.sum().log().item())


def test_sequences_shorter_than_the_model_s() -> None:
    """Positions under the mask alone count, for the model, for what is searched, and for the energy."""
    mask = torch.tensor([[True, True, True, False]]).expand(200, LENGTH)
    guided = Independent(double([[0.5, 0.0, -0.5]]).expand(LENGTH, LETTERS)) & Boltzmann(ENERGY)
    found = sample(guided, 200, 6, exact="mcmc", seed=1, check=400, moves=3, particles=400, condition={"mask": mask})
    short = CHAIN[0][:3], CHAIN[1][:2]
    every = torch.cartesian_prod(*[torch.arange(LETTERS)] * 3)
    assert_law(found.x[:, :3], (-chain_energy(*short)(one_hot(every))).softmax(0), every)
    assert not found.x[:, 3].any()
    assert_evidence(found, transfer(*short))
    rejected(assert_evidence, found, LOG_Z)


# Products -----------------------------------------------------------------------------------------------

MEANS = double([[-0.8, 0.8], [0.3, 0.0], [0.0, 0.3], [0.8, -0.8]])
ATOMS = joint_mixture(
    MEANS,
    (0.6 * torch.eye(2).double()).expand(4, 2, 2),
    torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]),
    double([0.4, 0.1, 0.1, 0.4]),
)


def assert_types(tokens: Tensor, shares: Tensor) -> None:
    counts = counts_of(tokens, 2).double() / len(tokens)
    error = (2 * shares.flatten() * (1 - shares.flatten()) / len(tokens)).sqrt()
    assert ((counts - shares.flatten()) / error).abs().max() < 4, f"{counts.tolist()} against {shares.tolist()}"


@pytest.mark.slow
def test_atoms_and_their_types_follow_an_energy() -> None:
    shares, log_z = atoms_by_quadrature()
    found = boltzmann(ATOMS, atoms_energy, 200, seed=1, steps=20, **SMALL)
    state: Any = found.x
    assert_types(state["tokens"], shares)
    rejected(assert_types, ATOMS.draw(Keys.of(1, 200))["tokens"], shares)
    assert_evidence(found, log_z)
    assert state["x"].dtype == torch.get_default_dtype()
    rejected(assert_evidence, found, log_z + 0.7)


def test_given_atoms_are_refined() -> None:
    shares, log_z = atoms_by_quadrature()
    x = ATOMS.draw(Keys.of(2, 300))
    found = refine(x, atoms_energy, 200, space=ATOMS.space, seed=1, moves=3, check=300, particles=200)
    state: Any = found.x
    assert_types(state["tokens"], shares)
    assert_evidence(found, log_z)


# What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "space", "message"),
    [
        (torch.zeros(30, LENGTH, dtype=torch.int64), None, "found torch.int64; of others say the space"),
        (torch.zeros(30, 2, dtype=torch.int64), SPACE, r"records must have shape \(4,\), found \(2,\)"),
        (torch.full((30, LENGTH), 3), SPACE, "is category 3, expected 0 to 2"),
        (torch.zeros(5, LENGTH, dtype=torch.int64), SPACE, "samples must be 20 or more, found 5"),
        ({"x": torch.zeros(30, 2)}, ATOMS.space, r"must have the parts \['tokens', 'x'\], found \['x'\]"),
        ("AACC", SPACE, "samples must be a tensor, or a dictionary of them for a product, found str"),
    ],
)
def test_samples_of_letters_that_cannot_be_refined(x: Any, space: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        refine(x, ENERGY, space=space)


def test_wrong_energies_are_named() -> None:
    with pytest.raises(InputError, match=r"BoltzmannFactor of .*lambda.* raised RuntimeError"):
        boltzmann(WRONG, lambda code: (code @ double([1.0, 2.0])).sum((1, 2)), 20, steps=2)


# Sixty letters ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Independent(Denoiser):
    """Independent letters of the law exp(fields), under masks."""

    fields: Tensor

    def __post_init__(self) -> None:
        carry(self, Traits(Categorical.masked((len(self.fields),), self.fields.shape[1]), time_independent=True))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Probs:
        space: Any = self.space
        return space.belief(self.fields.expand(len(leaves(x_t)[0]), -1, -1), x_t, 0.5)


def marginals(fields: Tensor, couplings: Tensor) -> Tensor:
    """The law of the letters at each position, by the slope of log Z."""
    fields = fields.clone().requires_grad_()
    total = fields[0]
    for field, coupling in zip(fields[1:], couplings, strict=True):
        total = (total[:, None] + coupling).logsumexp(0) + field
    (slope,) = torch.autograd.grad(total.logsumexp(0), fields)
    return slope


@pytest.mark.slow
def test_sixty_letters_within_the_stated_bound() -> None:
    fields, couplings = some_chain(60, 4, 0.7)
    model = Independent(fields)
    found = boltzmann(model, chain_energy(fields, couplings), 200, seed=1, steps=60, check=1000)
    exactness: Any = found.exactness
    assert exactness.passed
    assert exactness.low <= transfer(fields, couplings) <= exactness.high
    assert exactness.high - exactness.low < 0.5
    law = marginals(fields, couplings)

    def assert_marginals(x: Tensor) -> None:
        errors = (one_hot(x, 4).mean(0) - law) / (2 * law * (1 - law) / min(300, exactness.sources)).sqrt()
        assert errors.abs().max() < 4.5, f"{errors.abs().max():.1f} standard errors"

    assert_marginals(found.x)
    rejected(assert_marginals, torch.distributions.Categorical(logits=fields).sample((300,)))


# A folding program --------------------------------------------------------------------------------------


def folding(letters: str = "ACGU") -> Callable[[Tensor], Tensor]:
    """The free energy of the ensemble of structures of two strands about a loop, in kT, by ViennaRNA."""
    program = vienna()

    def energy(x: Tensor) -> Tensor:
        texts = ["".join(letters[k] for k in row) for row in x.tolist()]
        texts = [f"{text[:3]}GAAA{text[3:]}" for text in texts]
        return double([program.fold_compound(text).pf()[1] / KT for text in texts])

    return energy


@pytest.mark.slow
def test_a_folding_program_is_sampled_exactly() -> None:
    """Six bases that may pair: all 4,096 folds are summed."""
    energy = folding()
    every = torch.cartesian_prod(*[torch.arange(4)] * 6)
    values = -energy(every)
    model = Independent(torch.zeros(6, 4).double())
    found = boltzmann(model, energy, 200, seed=1, steps=12, numbered=True, **SMALL)
    assert_evidence(found, values.logsumexp(0).item())
    assert_law(found.x, values.softmax(0), every)
    rejected(assert_law, every[(Keys.of(0, 300).uniform() * len(every)).long()], values.softmax(0), every)

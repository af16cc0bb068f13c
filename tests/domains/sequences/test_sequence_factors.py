"""What is known of a sequence: patterns, pairs and shares against enumeration, and what is written wrongly."""

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError, Keys, Sampler
from ornstein.beliefs import Probs
from ornstein.denoisers.oracles import coupled, enumerated
from ornstein.domains.sequences import factors
from ornstein.domains.sequences.motifs import parsed
from ornstein.sampling.unmasking import FirstHitting
from ornstein.spaces import Categorical
from worlds import Blank, assert_close, rejected

RNA = {"alphabet": "ACGU", "kind": "rna", "length": 6, "lengths": {}}
PROTEIN = {"alphabet": "ACDEFGHIKLMNPQRSTVWY-", "kind": "protein", "length": 12, "lengths": {}}
SEQUENCES = torch.cartesian_prod(*[torch.arange(4)] * 6)


def letters(n: int = 3, length: int = 6) -> Probs:
    """Independent letters, with a mask state that nothing is."""
    logits = Keys.of(3, n).normal(length, 5)
    logits[..., 4] = -torch.inf
    return Probs(logits)


def made(guide: Any, metadata: dict[str, Any] = RNA, length: int | None = None) -> Any:
    """The factor for a model of these facts."""
    space = Categorical.masked((length or metadata["length"],), len(metadata["alphabet"]))
    return guide.bound(Blank(space, metadata))


def exact(belief: Probs, g: Tensor) -> tuple[Tensor, Tensor]:
    """log E[g], and the marginals of belief · g, over all sequences."""
    logs = torch.stack([belief.log_probs[:, k, SEQUENCES[:, k]] for k in range(6)]).sum(0)
    weights = logs.exp() * g
    marginals = [
        torch.stack([weights[:, SEQUENCES[:, k] == letter].sum(1) for letter in range(4)], -1) for k in range(6)
    ]
    return weights.sum(1).log(), torch.stack(marginals, 1) / weights.sum(1)[:, None, None]


def occurrences(regex: str, place: int | None = None) -> Tensor:
    """How often a pattern, written as a regular expression, is in every sequence: each place where one begins."""
    found = re.compile(f"(?={regex})")
    texts = ["".join("ACGU"[k] for k in row) for row in SEQUENCES.tolist()]
    starts = [[match.start() for match in found.finditer(text)] for text in texts]
    return torch.tensor([sum(place in (None, start) for start in row) for row in starts]).double()


@pytest.mark.parametrize(
    ("pattern", "regex", "place"),
    [
        ("GAU", "GAU", None),
        ("RN(2)C@2", "[AG]..C", 1),
        ("ACGUAC", "ACGUAC", None),
        ("S", "[CG]", None),
        ("AA", "AA", None),  # overlaps itself
        ("GN(1,3)R", "G.{1,3}[AG]", None),
        ("GA(0,2)C@3", "GA{0,2}C", 2),
        ("<GN(0,2)C", "^G.{0,2}C", None),
        ("RN(2,3)C>", "[AG].{2,3}C$", None),
    ],
)
def test_a_motif_is_there_or_not_and_exact_for_independent_letters(pattern: str, regex: str, place: int | None) -> None:
    motif, belief = made(factors.motif(pattern)), letters()
    times = occurrences(regex, place)
    value, marginals = exact(belief, (times > 0).double())
    found, updated = motif.update(belief, SEQUENCES[:3], 0.5, Categorical.masked((6,), 4))
    assert_close(found, value)
    assert (found <= 0).all()
    assert_close(updated.mean[..., :4], marginals)
    rejected(assert_close, belief.mean[..., :4], marginals)
    assert_close(motif.log_expect(belief), value)
    if times.max() > 1:
        counted = exact(belief, times)[1]
        rejected(assert_close, counted, marginals)  # broken twin: each sequence as often as the motif is in it
    clean = motif.log_expect(Categorical.masked((6,), 4).point_mass(SEQUENCES))
    assert torch.equal(clean, (times > 0).double().log())


def test_the_marginals_are_the_slope_of_the_presence() -> None:
    """∂ log P(present) / ∂ log p_i(a) = p(x_i = a | present), by autograd."""
    motif, belief = made(factors.motif("GN(1,2)C")), letters()
    logits = belief.logits.clone().requires_grad_()
    (slope,) = torch.autograd.grad(motif.log_expect(Probs(logits)).sum(), logits)
    given = motif.update(belief, SEQUENCES[:3], 0.5, Categorical.masked((6,), 4))[1].mean
    assert_close(slope[..., :4] + belief.mean[..., :4], given[..., :4])


def test_a_motif_passes_over_the_gaps_of_an_alignment() -> None:
    metadata = {**RNA, "alphabet": "ACG-", "length": 6}
    motif, belief = made(factors.motif("GA", alphabet="ACG-"), metadata), letters()
    texts = ["".join("ACG-"[k] for k in row) for row in SEQUENCES.tolist()]
    value, marginals = exact(belief, torch.tensor([float("GA" in text.replace("-", "")) for text in texts]))
    found, updated = motif.update(belief, SEQUENCES[:3], 0.5, Categorical.masked((6,), 4))
    assert_close(found, value)
    assert_close(updated.mean[..., :4], marginals)
    in_columns = exact(belief, torch.tensor([float("GA" in text) for text in texts]))[0]
    rejected(assert_close, in_columns, value)


def test_a_pattern_of_long_gaps_has_an_upper_bound_as_its_foresight() -> None:
    """A deterministic automaton would remember which of thirty letters were N. Certain letters are judged exactly."""
    motif = made(factors.motif("N-x(30)-C"), PROTEIN, length=60)
    assert not motif.automaton.exact
    assert not motif.provenance["exact foresight"]
    space = Categorical.masked((60,), 21)
    x = (Keys.of(2, 400).uniform(60) * 20).long()
    there = ((x[:, :-31] == 11) & (x[:, 31:] == 1)).any(1)
    assert 0.02 < there.double().mean() < 0.2
    assert torch.equal(motif.log_expect(space.point_mass(x)) == 0, there)
    belief = Probs(torch.zeros(1, 60, 22).double().index_fill(2, torch.tensor([20, 21]), -torch.inf))
    bound = motif.log_expect(belief)
    assert_close(bound, torch.tensor([math.log(29 / 400)], dtype=torch.float64))  # the expected number
    assert there.double().mean().log() < bound + 0.2


def test_a_long_motif_that_is_hardly_possible_is_not_impossible() -> None:
    """e^−4000 is no number, its logarithm is."""
    motif = made(factors.motif("P(100)"), {**PROTEIN, "alphabet": "ACDEFGHIKLMNPQRSTVWY"}, length=120)
    logits = torch.full((1, 120, 21), -40.0).double().index_fill(2, torch.tensor([12]), -80.0)
    value, given = motif.update(Probs(logits), torch.zeros(1, 120).long(), 0.5, Categorical.masked((120,), 20))
    assert -4500 < value.item() < -4000
    assert_close(given.mean[0, 20:100, 12], torch.ones(80).double())


def law_of_the_motif(drawn: Tensor) -> list[float]:
    """The shares of the samples that hold letter 0 once, twice, three and four times."""
    times = (drawn == 0).sum(1)
    return [(times == k).double().mean().item() for k in (1, 2, 3, 4)]


@pytest.mark.parametrize("exactness", ["off", "particles"])
def test_samples_have_the_motif_as_often_as_sequences_that_have_it(exactness: str) -> None:
    """Four letters, each A with probability 1/3: of those with an A, 32 : 24 : 8 : 1 of 65 have 1, 2, 3, 4."""
    world = enumerated(Categorical.masked((4,), 3), torch.full((3,) * 4, 3.0**-4))
    given = world & factors.motif("A", alphabet="ACG")
    if exactness == "off":
        drawn = on.sample(given, n=4000, sampler=Sampler([1.0, 0.0], (FirstHitting(),)))
    else:
        drawn = on.sample(given, n=4000, exact="particles", particles=4000, steps=4)

    def require(expected: list[float]) -> None:
        for share, right in zip(law_of_the_motif(drawn.x), expected, strict=True):
            assert abs(share - right) < 4 * (right * (1 - right) / 4000) ** 0.5

    require([32 / 65, 24 / 65, 8 / 65, 1 / 65])
    rejected(require, [8 / 27, 12 / 27, 6 / 27, 1 / 27])  # each sequence as often as the motif is in it
    if drawn.exactness is not None:
        assert abs(drawn.exactness.log_evidence - math.log(65 / 81)) < 4 * drawn.exactness.error + 1e-3


def test_pairing_is_exact_for_independent_letters() -> None:
    pairing, belief = made(factors.structure("((..))")), letters()
    table = factors.pairable("ACGU")
    g = table[SEQUENCES[:, 0], SEQUENCES[:, 5]] * table[SEQUENCES[:, 1], SEQUENCES[:, 4]]
    value, marginals = exact(belief, g)
    found, updated = pairing.update(belief, SEQUENCES[:3], 0.5, Categorical.masked((6,), 4))
    assert_close(found, value)
    assert_close(updated.mean[..., :4], marginals)


@pytest.mark.parametrize("said", [{"motif": "GA"}, {"structure": "(..)"}, {"motif": "GN", "structure": "(..)"}])
def test_guided_particles_follow_the_exact_law(said: dict[str, str]) -> None:
    """On a world whose letters depend on one another; the factors' own proposals alone do not."""
    table = (Keys.of(11, 1).normal(4, 4, 4, 4)[0] * 0.7).exp()
    world = enumerated(Categorical.masked((4,), 4), table / table.sum())
    guided: Any = world
    for factor in factors.known(said):
        guided = guided & made(factor, length=4)
    x = torch.cartesian_prod(*[torch.arange(4)] * 4)
    log_g = sum(factor.log_expect(world.space.point_mass(x)) for factor in guided.factors)
    law = (table.flatten().log() + log_g).softmax(0).reshape(4, 4, 4, 4)
    drawn = on.sample(guided, n=1000, steps=20, exact="particles", particles=4000)
    assert drawn.exactness.ess[-1] > 0.1
    spread = drawn.x[::8]  # relatives are few, but there are some
    kept = law.flatten() > 0
    index = (spread * 4 ** torch.arange(3, -1, -1)).sum(1)
    counts = torch.bincount(index, minlength=256).double()
    assert counts[~kept].sum() == 0
    expected = law.flatten()[kept] * len(spread)
    statistic = ((counts[kept] - expected) ** 2 / expected).sum().item()
    degrees = int(kept.sum()) - 1
    assert statistic < degrees + 5 * (2 * degrees) ** 0.5
    unguided = on.sample(world, n=300, steps=20).x
    wrong = torch.bincount((unguided * 4 ** torch.arange(3, -1, -1)).sum(1), minlength=256)
    assert wrong[~kept].sum() > 0  # the broken twin breaks what was said


def test_fixed_letters_hold_and_their_partners_follow() -> None:
    world = coupled(3, torch.eye(4).flip(0) / 4)
    known = factors.fixed("GA????", alphabet="ACGU")
    x = Sampler([1.0, 0.0], (FirstHitting(),)).run(world & known, Keys.of(0, 64))
    assert (x[:, :2] == torch.tensor([2, 0])).all()
    assert ((x + x.flip(1)) == 3).all()
    assert len(x.unique(dim=0)) == 4


def test_a_share_is_asked_for() -> None:
    world = enumerated(Categorical.masked((4,), 4), torch.full((4,) * 4, 4.0**-4))
    wanted = factors.fraction("GC=.8", alphabet="ACGU")
    share = torch.isin(on.sample(world & wanted, n=300, steps=20, exact="particles").x, torch.tensor([1, 2]))
    assert abs(share.double().mean().item() - 3 / 4) < 0.02  # the nearest quarter to .8
    free = torch.isin(on.sample(world, n=300, steps=20).x, torch.tensor([1, 2])).double().mean().item()
    assert abs(free - 0.5) < 0.05


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("C-x(2)-[ST]", ["C", "ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLMNPQRSTVWY", "ST"]),
        ("{P}-G.", ["ACDEFGHIKLMNQRSTVWY", "G"]),
        ("c-x(0,1)-[st]", ["C", "ACDEFGHIKLMNPQRSTVWY", "ST"]),
    ],
)
def test_prosite_patterns(pattern: str, expected: list[str]) -> None:
    found = parsed(pattern, PROTEIN["alphabet"], "protein", 12).columns.tolist()
    assert ["".join(a for a, yes in zip(PROTEIN["alphabet"], row, strict=True) if yes) for row in found] == expected


def test_iupac_letters_mean_the_same_in_rna_and_dna() -> None:
    for letter in "ACGTURYSWKMBDHVN":
        rna, dna = (parsed(letter, letters, kind, 1).columns for letters, kind in (("ACGU", "rna"), ("ACGT", "dna")))
        assert (rna == dna).all()
        assert rna.any()


@pytest.mark.parametrize(
    ("said", "metadata", "message"),
    [
        ({"fixed": "ACG"}, RNA, "has 3 columns, the model's sequences 6"),
        ({"fixed": "ACGX??"}, RNA, "column 4 is 'X', expected one of ACGU or"),
        ({"fixed": "??????"}, RNA, "nothing is fixed"),
        ({"motif": "C-x(2"}, PROTEIN, "element 2 is 'x\\(2'"),
        ({"motif": "C-B"}, PROTEIN, "names a letter that is not one of"),
        ({"motif": "GA@7"}, RNA, "expected a column from 1 to 5"),
        ({"motif": ""}, RNA, "has no letter"),
        ({"motif": "<>"}, PROTEIN, "has no letter"),
        ({"motif": "@3"}, RNA, "has no letter"),
        ({"motif": "GA@"}, RNA, "begins at ''"),
        ({"motif": "GA@²"}, RNA, "expected a column from 1 to 5"),
        ({"motif": "x(0,3)"}, PROTEIN, "may be nothing at all"),
        ({"motif": "x(4,2)"}, PROTEIN, "from 4 to 2 letters"),
        ({"motif": "C-x(999999)-C"}, PROTEIN, "the sequences 12"),
        ({"motif": "{Z}"}, PROTEIN, "names a letter that is not one of"),
        ({"motif": "C--C"}, PROTEIN, "element 2 is ''"),
        ({"motif": "GATTACA"}, RNA, "has 7 letters, the sequences 6"),
        ({"motif": "G-A"}, RNA, "not IUPAC letters"),
        ({"structure": "((..)"}, RNA, "has 5 columns"),
        ({"structure": "(((.))"}, RNA, "bracket at column 1 is never closed"),
        ({"structure": "(.))))"}, RNA, "column 4 is '\\)', expected a dot or a matched bracket"),
        ({"structure": "......"}, RNA, "has no pairs"),
        ({"structure": "(....)......"}, PROTEIN, "is for RNA and DNA"),
        ({"fraction": "GC"}, RNA, "is not letters of ACGU and a share"),
        ({"fraction": "GX=.5"}, RNA, "is not letters of ACGU and a share"),
        ({"motif": "A"}, {**RNA, "lengths": {"5": 1}}, "those of this model vary"),
    ],
)
def test_what_is_written_wrongly_is_named(said: dict[str, str], metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(factors.known(said)[0], metadata)

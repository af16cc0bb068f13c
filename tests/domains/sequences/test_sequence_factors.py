"""What is known of a sequence: patterns, pairs and shares against enumeration, and what is written wrongly."""

from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError, Keys, Sampler
from ornstein.beliefs import Probs
from ornstein.denoisers.oracles import coupled, enumerated
from ornstein.domains.sequences import factors
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


def occurrences(classes: Tensor, places: tuple[int, ...]) -> Tensor:
    """How often the pattern is there, in every sequence."""
    k = torch.arange(len(classes))
    return torch.stack([classes[k, SEQUENCES[:, place + k]].all(1) for place in places]).sum(0).double()


@pytest.mark.parametrize("pattern", ["GAU", "RN(2)C@2", "ACGUAC", "S"])
def test_a_motif_is_exact_for_independent_letters(pattern: str) -> None:
    motif, belief = made(factors.motif(pattern)), letters()
    value, marginals = exact(belief, occurrences(motif.classes, motif.places))
    found, updated = motif.update(belief, SEQUENCES[:3], 0.5, Categorical.masked((6,), 4))
    assert_close(found, value)
    assert_close(updated.mean[..., :4], marginals)
    rejected(assert_close, belief.mean[..., :4], marginals)
    assert_close(motif.log_expect(belief), value)


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
    world = enumerated(Categorical.masked((6,), 4), torch.full((4,) * 6, 4.0**-6))
    wanted = factors.fraction("GC=.9", alphabet="ACGU")
    share = torch.isin(on.sample(world & wanted, n=300, steps=20, exact="particles").x, torch.tensor([1, 2]))
    assert abs(share.double().mean().item() - 5 / 6) < 0.02  # the nearest sixth within .02 of .9
    free = torch.isin(on.sample(world, n=300, steps=20).x, torch.tensor([1, 2])).double().mean().item()
    assert abs(free - 0.5) < 0.05


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("C-x(2)-[ST]", ["C", "ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLMNPQRSTVWY", "ST"]),
        ("{P}-G", ["ACDEFGHIKLMNQRSTVWY", "G"]),
    ],
)
def test_prosite_patterns(pattern: str, expected: list[str]) -> None:
    found = factors.classes_of(pattern, PROTEIN["alphabet"], "protein")
    assert ["".join(a for a, yes in zip(PROTEIN["alphabet"], row, strict=True) if yes) for row in found] == expected


def test_iupac_letters_mean_the_same_in_rna_and_dna() -> None:
    for letter in "ACGTURYSWKMBDHVN":
        rna, dna = (factors.classes_of(letter, alphabet, kind) for alphabet, kind in (("ACGU", "rna"), ("ACGT", "dna")))
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

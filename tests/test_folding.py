"""RNA inverse folding: the prior is exact, the moves keep their law, and small targets are solved."""

import pytest
import torch

from ornstein import InputError, Keys
from ornstein.folding import PairedBases, design, folded
from ornstein.folding.design import Redraw, Rivals
from ornstein.folding.structures import apart, loops, pairs_of
from worlds import rejected

pytest.importorskip("RNA")
HAIRPIN = "((...))"
TARGETS = ("((((....))))", "((((((.((((....))))..((((.....))))..))))))", "(((..((((...))))..)))....((((.....))))")


@pytest.mark.parametrize("target", TARGETS)
def test_small_targets_are_solved(target: str) -> None:
    found = design(target, Keys.of(0, 1), folds=500)
    assert found.solved
    assert folded(found.sequence, target)[0] == target
    assert design(target, Keys.of(0, 1), folds=500) == found


def test_the_prior_draws_pairs_that_form_and_its_own_law() -> None:
    prior = PairedBases.of(HAIRPIN)
    x = prior.draw(torch.full((4000, 7), 4), Keys.of(0, 4000))
    words = ["".join("ACGU"[k] for k in row) for row in x.tolist()]
    assert all(prior.log_prob(word) > -float("inf") for word in words)

    def require_law(block: int) -> None:
        share = prior.shares[block]
        found = {
            word: sum(w[prior.blocks[block][0]] + w[prior.blocks[block][1]] == word for w in words) for word in share
        }
        total = sum(share.values())
        statistic = sum((found[w] - 4000 * p / total) ** 2 / (4000 * p / total) for w, p in share.items())
        assert statistic < 25  # six words, p = 1e-4

    require_law(0)
    prior = PairedBases.of(HAIRPIN).tempered(0.5)
    rejected(require_law, 0)


def test_a_partner_that_is_seen_decides() -> None:
    prior = PairedBases.of(HAIRPIN)
    belief = prior(torch.tensor([[1, 4, 4, 4, 4, 4, 4]]), 0.5)
    assert belief.mean[0, 6, "ACGU".index("G")] == pytest.approx(1.0)


def test_redrawing_keeps_the_prior_where_there_are_no_rivals() -> None:
    prior, rivals = PairedBases.of(HAIRPIN), Rivals(HAIRPIN, weight=0.0)
    ends = []
    for key in range(400):
        keys = Keys.of(key, 1)
        ends.append(Redraw()(prior.sequence(keys.fold("start")), prior, rivals, keys, 5)[0])
    share = sum(end[0] + end[6] in ("GC", "CG") for end in ends) / 400
    expected = (prior.shares[0]["GC"] + prior.shares[0]["CG"]) / sum(prior.shares[0].values())
    assert abs(share - expected) < 4 * (expected * (1 - expected) / 400) ** 0.5


def test_rivals_bound_the_gap() -> None:
    target = TARGETS[1]
    text = PairedBases.of(target).sequence(Keys.of(3, 1))
    rival, gap = folded(text, target)
    rivals = Rivals(target, weight=0.0)
    assert rivals.energy(text)[0] == pytest.approx(0.0)
    rivals.add(rival)
    assert rivals.energy(text)[0] >= gap - 1e-9


def test_structures_are_read() -> None:
    assert pairs_of(HAIRPIN) == [[0, 6], [1, 5]]
    assert apart("((..))", "(....)") == 1
    assert len(next(loops(TARGETS[1])).branches) == 1
    assert sum(len(loop.unpaired) for loop in loops(TARGETS[2])) == TARGETS[2].count(".")
    with pytest.raises(InputError, match="never closed"):
        PairedBases.of("((..)")

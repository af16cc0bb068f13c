"""RNA inverse folding: the prior is exact, the moves keep their law, the surrogate is a free energy."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import product
from math import exp, inf, log

import pytest
import torch
from torch import Tensor

from ornstein import InputError, Keys
from ornstein.domains.sequences.folding import PairedBases, design, folded
from ornstein.domains.sequences.folding.design import Redraw, Rivals
from ornstein.domains.sequences.folding.structures import KT, apart, loops, pairs_of, require_foldable, vienna
from ornstein.spaces.categorical import draw
from worlds import assert_close, chi_square, rejected

pytest.importorskip("RNA")
HAIRPIN = "((...))"
TARGETS = ("((((....))))", "((((((.((((....))))..((((.....))))..))))))", "(((..((((...))))..)))....((((.....))))")


@pytest.mark.parametrize("target", TARGETS)
def test_small_targets_are_solved(target: str) -> None:
    found = design(target, Keys.of(0, 1), folds=500)
    assert found.solved
    assert folded(found.sequence, target)[0] == target
    assert design(target, Keys.of(0, 1), folds=500) == found


# The prior ------------------------------------------------------------------------------------------

SMALL = ("((...)).", "(.(.).)", "(((.)))")  # all kinds of blocks: closing and stacked pairs, mismatches, one by one


def words_of(x: Tensor) -> list[str]:
    return ["".join("ACGU"[k] for k in row) for row in x.tolist()]


def law_of(prior: PairedBases) -> Tensor:
    """The probability of every sequence, (4, ..., 4)."""
    logs = [prior.log_prob("".join(letters)) for letters in product("ACGU", repeat=prior.length)]
    return torch.tensor(logs, dtype=torch.float64).exp().reshape((4,) * prior.length)


def assert_law(words: Sequence[str], law: Mapping[str, float]) -> None:
    """As often as the law says, by χ²: words expected less than five times count as one, and no others occur."""
    counts = Counter(words)
    assert all(law[word] > 0 for word in counts)
    common = [word for word, p in law.items() if p * len(words) >= 5]
    found, probs = (
        torch.tensor([counts[word] for word in common]),
        torch.tensor([law[word] for word in common]).double(),
    )
    found, probs = (torch.cat([part, whole - part.sum()[None]]) for part, whole in ((found, len(words)), (probs, 1.0)))
    statistic, p = chi_square(found, probs)
    assert p > 0.01, f"chi-square {statistic:.1f} on {len(common)} degrees of freedom, p = {p:.2g}"


class Apart(PairedBases):
    """A broken prior: partners are drawn at once, and so apart from one another."""

    def draw(self, x_t: Tensor, keys: Keys) -> Tensor:
        return torch.where(x_t == 4, draw(self(x_t, 0.5).mean, keys), x_t)


def test_the_prior_is_what_it_says() -> None:
    assert PairedBases.of(HAIRPIN).log_prob("GCAAGGC") == pytest.approx(2 * log(0.44) + 2 * log(0.86) + log(0.06))
    assert PairedBases.of("(((.)))").log_prob("GAGCCUC") == pytest.approx(2 * log(0.44) + log(0.13) + log(0.03))
    assert PairedBases.of("(.(.).)").log_prob("GAGCCUC") == pytest.approx(2 * log(0.44) + log(0.3 * 0.03 * 0.07))
    assert PairedBases.of(HAIRPIN).log_prob("GCAAGGA") == -inf


@pytest.mark.parametrize("target", SMALL)
def test_beliefs_are_those_of_all_sequences(target: str) -> None:
    prior = PairedBases.of(target).tempered(0.7)
    law = law_of(prior)
    assert law.sum().item() == pytest.approx(1.0, abs=1e-12)
    keys = Keys.of(0, 40)
    x = prior.draw(torch.full((40, prior.length), 4), keys)
    x[keys.fold("hidden").uniform(prior.length) < 0.6] = 4

    def require_exact(believe: Callable[[Tensor], Tensor]) -> None:
        for row, belief in zip(x.tolist(), believe(x), strict=True):
            given = law[tuple(slice(k, k + 1) if k < 4 else slice(None) for k in row)]
            for place, k in enumerate(row):
                others = [other for other in range(prior.length) if other != place]
                marginal = given.sum(others) / given.sum()
                assert_close(belief[place, :4], marginal if k == 4 else torch.eye(4).double()[k])

    require_exact(lambda x: prior(x, 0.5).mean)
    unseen = prior(torch.full_like(x, 4), 0.5).mean
    rejected(require_exact, lambda x: prior(x, 0.5).mean.where((x < 4)[..., None], unseen))  # knows no partners


@pytest.mark.parametrize("known", [(), (0, 4, 5)], ids=["nothing known", "one of each pair known"])
@pytest.mark.parametrize("target", SMALL)
def test_draws_have_the_law_of_all_sequences(target: str, known: Sequence[int]) -> None:
    prior = PairedBases.of(target)
    start = torch.full((1, prior.length), 4)
    start[:, known] = prior.tempered(0).draw(start, Keys.of(1, 1))[:, known]
    given = law_of(prior)[tuple(slice(k, k + 1) if k < 4 else slice(None) for k in start[0].tolist())]
    letters = ["ACGU" if k == 4 else "ACGU"[k] for k in start[0].tolist()]
    law = dict(zip(map("".join, product(*letters)), (given / given.sum()).flatten().tolist(), strict=True))

    def require_law(of: PairedBases) -> None:
        assert_law(words_of(of.draw(start.expand(4000, -1), Keys.of(2, 4000))), law)

    require_law(prior)
    rejected(require_law, prior.tempered(0.8))
    if not known:
        rejected(require_law, Apart(prior.blocks, prior.shares))


def test_quantiles_are_those_of_each_block() -> None:
    prior = PairedBases.of(SMALL[0]).tempered(0.5)

    def require_shares(of: PairedBases) -> None:
        for block, share in enumerate(prior.shares):
            found = Counter(of.quantile(block, (k + 0.5) / 10_000) for k in range(10_000))
            assert all(abs(found[w] / 10_000 - p / sum(share.values())) < 2e-4 for w, p in share.items())

    require_shares(prior)
    rejected(require_shares, prior.tempered(0.99))


# The surrogate --------------------------------------------------------------------------------------

FOLDED = ("((((....))))", "((...))((...))", "(((.........)))..")


def structures_of(text: str) -> list[str]:
    """All structures that a sequence can have."""
    return [found.structure for found in vienna().fold_compound(text).subopt(100_000)]


def loose(target: str) -> Iterator[str]:
    """Sequences that can fold into a target, and prefer others."""
    prior = PairedBases.of(target).tempered(0)
    yield from (prior.sequence(Keys.of(key, 1)) for key in range(6))


@pytest.mark.parametrize("target", FOLDED)
@pytest.mark.parametrize("every", [1, 2, 5])
def test_the_surrogate_is_the_free_energy_of_the_target_among_rivals(target: str, every: int) -> None:
    """−kT log p(s* | x), p by ViennaRNA's partition function, of all structures or of some alone."""

    def require_free_energy(softness: float, forgotten: int = 0) -> None:
        for text in loose(target):
            compound = vienna().fold_compound(text)
            compound.pf()
            others = [structure for structure in structures_of(text) if structure != target][::every]
            others.sort(key=compound.pr_structure, reverse=True)
            own, *rest = map(compound.pr_structure, [target, *others])
            rivals = Rivals(target, 0.0, softness, len(others), others[forgotten:])
            assert_close(rivals.energy(text)[0], -KT * log(own / (own + sum(rest))), 1e-3)

    require_free_energy(KT)
    rejected(require_free_energy, 0.9 * KT)
    rejected(require_free_energy, KT, forgotten=1)


@pytest.mark.parametrize("target", FOLDED)
def test_the_margin_and_the_bound_are_those_of_the_gap(target: str) -> None:
    for text in loose(target):
        others = [structure for structure in structures_of(text) if structure != target]
        energy, margin = Rivals(target, 0.0, most=len(others), structures=others).energy(text)
        gap = folded(text, target)[1]
        assert max(-margin, 0) == pytest.approx(gap, abs=1e-4)
        assert energy >= gap - 1e-4


def test_rivals_bound_the_gap() -> None:
    target = TARGETS[1]
    text = PairedBases.of(target).sequence(Keys.of(3, 1))
    rival, gap = folded(text, target)
    rivals = Rivals(target, weight=0.0)
    assert rivals.energy(text)[0] == pytest.approx(0.0)
    rivals.add(rival)
    assert rivals.energy(text)[0] >= gap - 1e-9


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_an_energy_is_infinite_exactly_above_its_limit(weight: float) -> None:
    for text in loose(FOLDED[0]):
        rivals = Rivals(FOLDED[0], weight, structures=[s for s in structures_of(text) if s != FOLDED[0]][:9])
        energy, margin = rivals.energy(text)
        assert rivals.energy(text, energy + 1e-9) == (energy, margin)
        assert rivals.energy(text, energy - 1e-9) == (inf, -inf)
        assert rivals.energy(text, -inf) == (inf, -inf)


# Moves ----------------------------------------------------------------------------------------------

RIVALS = ["(.....).", "........", ".(....)."]


class Credulous(Rivals):
    """Broken rivals: no energy is above a limit, so that every proposal is accepted."""

    def energy(self, text: str, limit: float = inf) -> tuple[float, float]:
        return super().energy(text)


@pytest.mark.parametrize(("weight", "structures"), [(1.0, []), (0.3, RIVALS)], ids=["target alone", "rivals"])
def test_redrawing_leaves_its_law_invariant(weight: float, structures: list[str]) -> None:
    """prior · exp(−U_R/T), against all sequences: exact draws of it have it still after eight proposals."""
    prior, move = PairedBases.of(SMALL[0]).tempered(0.5), Redraw(temperature=0.5)
    rivals = Rivals(SMALL[0], weight, KT, structures=structures)
    logs = law_of(prior).log().flatten().tolist()
    every = zip(map("".join, product("ACGU", repeat=prior.length)), logs, strict=True)
    weights = {word: exp(p - rivals.energy(word)[0] / move.temperature) for word, p in every if p > -inf}
    law = {word: weight / sum(weights.values()) for word, weight in weights.items()}
    places = torch.tensor([*law.values()]).double().cumsum(0)
    words, n = list(law), 1200
    starts = [words[k] for k in torch.searchsorted(places, Keys.of(0, n).uniform(1)[:, 0] * places[-1]).tolist()]

    def require_law(move: Redraw, rivals: Rivals) -> None:
        ends = [move(text, prior, rivals, Keys.of(k, 1).fold("move"), 8)[0] for k, text in enumerate(starts)]
        assert sum(a != b for a, b in zip(starts, ends, strict=True)) > 0.8 * n
        assert_law(ends, law)

    require_law(move, rivals)
    rejected(require_law, move, Credulous(SMALL[0], weight, KT, structures=structures))
    rejected(require_law, replace(move, temperature=1.0), rivals)


def test_redrawing_keeps_the_prior_where_there_are_no_rivals() -> None:
    prior, rivals = PairedBases.of(HAIRPIN), Rivals(HAIRPIN, weight=0.0)

    def require_share(by: PairedBases) -> None:
        ends = []
        for key in range(400):
            keys = Keys.of(key, 1)
            ends.append(Redraw()(prior.sequence(keys.fold("start")), by, rivals, keys, 5)[0])
        share = sum(end[0] + end[6] in ("GC", "CG") for end in ends) / 400
        expected = (prior.shares[0]["GC"] + prior.shares[0]["CG"]) / sum(prior.shares[0].values())
        assert abs(share - expected) < 4 * (expected * (1 - expected) / 400) ** 0.5

    require_share(prior)
    rejected(require_share, prior.tempered(0.5))


# Structures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("", "the target is empty"),
        ("((..))....", "columns 2 and 5 closes a hairpin of 2 unpaired bases, which has 3 at least"),
        ("()", "columns 1 and 2 closes a hairpin of 0"),
        ("(((...)(.)))", "columns 8 and 10 closes a hairpin of 1"),
        (f"({'.' * 16}((((....)))){'.' * 15})", "columns 1 and 45 closes an interior loop of 31 unpaired bases"),
        (f"(({'.' * 31}((((....))))))", "columns 2 and 46 closes an interior loop of 31"),
        ("((..)", "never closed"),
        ("([...])", "column 2 is '\\['"),
    ],
)
def test_what_no_sequence_folds_into_is_said_before_any_fold(
    target: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("ornstein.domains.sequences.folding.design")
    monkeypatch.setattr(module, "folded", lambda *_: pytest.fail("folded"))
    with pytest.raises(InputError, match=said):
        design(target, Keys.of(0, 1), folds=3)


@pytest.mark.parametrize("target", ["((...))", f"({'.' * 15}((((....)))){'.' * 15})", "(...)(...)", "......"])
def test_what_is_refused_is_what_vienna_never_closes(target: str) -> None:
    """A sequence with these pairs has an energy for the target; with a base less in a hairpin it has none."""
    require_foldable(target)
    text = PairedBases.of(target).sequence(Keys.of(0, 1))
    assert vienna().fold_compound(text).eval_structure(target) < 1e4
    if "(...)" in target:
        short = target.replace("(...)", "(..)")
        less = PairedBases.of(short).sequence(Keys.of(0, 1))
        assert vienna().fold_compound(less).eval_structure(short) > 1e4
        with pytest.raises(InputError, match="hairpin of 2"):
            require_foldable(short)


def test_structures_are_read() -> None:
    assert pairs_of(HAIRPIN) == [[0, 6], [1, 5]]
    assert apart("((..))", "(....)") == 1
    assert len(next(loops(TARGETS[1])).branches) == 1
    assert sum(len(loop.unpaired) for loop in loops(TARGETS[2])) == TARGETS[2].count(".")
    with pytest.raises(InputError, match="never closed"):
        PairedBases.of("((..)")

"""Energies of sequences as they are written: from Python and from the command line, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import code
from ornstein.denoisers.oracles import enumerated
from ornstein.domains.sequences.task import SequencesRequest
from ornstein.domains.sequences.texts import OfTexts, boltzmann, named
from ornstein.errors import InputError
from ornstein.spaces import Categorical
from ornstein.tasks.drawing import sample
from ornstein.tasks.requests import draw
from worlds import rejected, table

WORLD = enumerated(Categorical.masked((4,), 3), table(3, 4))
EVERY = torch.cartesian_prod(*[torch.arange(3)] * 4)


def pairs(texts: list[str]) -> list[float]:
    """−1.5 kT for each A that a C follows; what begins with G cannot be."""
    assert len(set(texts)) == len(texts)
    return [float("inf") if text[0] == "G" else -1.5 * text.count("AC") for text in texts]


def log_p(x: Tensor) -> Tensor:
    return -torch.tensor(pairs(["".join("ACG"[k] for k in row) for row in x.tolist()]))


def assert_law(x: Tensor) -> None:
    """The shares of the numbers of AC, and none that begins with G."""
    law, counts = log_p(EVERY).softmax(0), log_p(x.unique(dim=0))
    assert counts.isfinite().all(), "what cannot be is there"
    found = torch.stack([((x[:, k] == 0) & (x[:, k + 1] == 1)).double().mean() for k in range(3)])
    expected = torch.stack([law[(EVERY[:, k] == 0) & (EVERY[:, k + 1] == 1)].sum() for k in range(3)])
    error = (2 * expected * (1 - expected) / len(x)).sqrt()
    assert ((found - expected) / error).abs().max() < 4, f"{found.tolist()} against {expected.tolist()}"


def test_texts_have_an_energy() -> None:
    guided = WORLD & on.sequences.boltzmann(pairs, alphabet="ACG")
    found = sample(guided, 300, 6, exact="mcmc", seed=1, check=400, moves=3, particles=600)
    exactness: Any = found.exactness
    assert_law(found.x)
    assert exactness.log_evidence == pytest.approx(log_p(EVERY).logsumexp(0).item(), abs=4 * exactness.error)
    assert found.settings["guides"] == [{"target": "Boltzmann", "of": "pairs"}]
    possible = EVERY[EVERY[:, 0] != 2]
    rejected(assert_law, possible[torch.arange(300) % len(possible)])


def test_positions_that_do_not_exist_are_no_letters() -> None:
    seen: list[str] = []
    energy = OfTexts(lambda texts: [len(seen.append(text) or text) for text in texts], "ACG")
    assert energy(torch.tensor([[0, 1, -1], [2, 2, 2], [0, 1, -1]])).tolist() == [2, 3, 2]
    assert seen == ["AC", "GGG"]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda texts: [1.0], r"energy of 2 texts must be 2 numbers, found the shape \(1,\)"),
        (lambda texts: None, "energy of 2 texts is a NoneType, expected numbers"),
        (lambda texts: ["A"] * len(texts), "energy of 2 texts is a list, expected numbers"),
    ],
)
def test_what_is_no_energy(returned: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OfTexts(returned, "ACG")(torch.tensor([[0, 1], [1, 1]]))


def test_guides_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="boltzmann is of a int, expected a function of texts"):
        boltzmann(3)
    with pytest.raises(InputError, match="about sequences of ACGT, this model draws Categorical"):
        _ = WORLD & boltzmann(pairs, alphabet="ACGT")


def test_energies_are_named_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def short(texts): return [len(t) for t in texts]\nnumber = 3\n")
    code.allow_named([f"--energy={tmp_path}/mine.py:{name}" for name in ("short", "number", "nothing")])
    assert named(f"{tmp_path}/mine.py:short").name == "boltzmann"
    for name, message in {
        "number": "number is a int, expected a function of a list of texts",
        "nothing": "has no 'nothing', expected a function",
    }.items():
        with pytest.raises(InputError, match=message):
            named(f"{tmp_path}/mine.py:{name}")
    with pytest.raises(InputError, match=r"--energy mine: expected path/to/file.py:name"):
        named("mine")
    with pytest.raises(InputError, match="names code"):
        named("not/named.py:energy")


def test_nothing_asked_for_is_lost_beside_an_energy(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = [{"motif": "TATAAT"}, {"fraction": "GC=0.5"}, {"temperature": 0.5}, {"top_p": 0.9}]
    for said in asked:
        with pytest.raises(InputError, match=r"samples of --energy are of exp\(-E\) alone"):
            SequencesRequest(energy="mine.py:short", **said)
    (tmp_path / "other.py").write_text("def short(texts): return [len(t) for t in texts]\n")
    code.allow(source := f"{tmp_path}/other.py:short")
    model = on.load("sequences/start-sites")
    for exact in ("off", "particles"):
        with pytest.raises(InputError, match=rf"--energy is for --exact mcmc, found --exact {exact}"):
            draw(model, SequencesRequest(energy=source), 2, exact=exact)
    with pytest.raises(InputError, match=r"corrects to a density or to an energy: .* boltzmann"):
        draw(model, SequencesRequest(), 2, exact="mcmc")

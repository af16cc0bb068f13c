"""Sequences from a file to FASTA and back: training, sampling, scoring, and what must be refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError, Keys
from ornstein.cli import main
from ornstein.config import update
from ornstein.domains.sequences import data, figures, metrics, network
from ornstein.domains.sequences.formats import Record, write_fasta
from ornstein.domains.sequences.judging import SequenceJudge
from ornstein.domains.sequences.store import FASTA
from ornstein.domains.sequences.task import Sequences, SequencesConfig, SequencesRequest
from ornstein.spaces import Substitution
from ornstein.tasks import requests, runs
from ornstein.tasks.figures import Metric
from ornstein.tasks.samples import Samples, read_samples
from ornstein.training.datasets import Arrays
from worlds import rejected

SMALL = {
    "network": {"width": 16, "layers": 1, "heads": 2},
    "train": {"steps": 2, "batch_size": 4, "validate_every": 100},
}
NOISES = ("masked", "uniform", "hybrid", "substitution", "left-to-right", "two-orders")


def trained(folder: Path, **settings: Any) -> Any:
    config = update(SequencesConfig("start-sites"), {**SMALL, **settings}, "test")
    return on.load(runs.train("sequences", "small", config, folder))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small masked model of start sites."""
    return trained(tmp_path_factory.mktemp("small") / "run")


def fasta(path: Path, texts: list[str], families: tuple[str, ...] = ()) -> Path:
    labels = [f"family={families[k % len(families)]}" if families else "" for k in range(len(texts))]
    records = [Record(f"r{k}", label, text) for k, (label, text) in enumerate(zip(labels, texts, strict=True))]
    write_fasta(path, records)
    return path


def random_texts(n: int, least: int, most: int, alphabet: str = "ACGU") -> list[str]:
    keys = Keys.of(5, n)
    lengths = least + (keys.fold("length").uniform() * (most - least + 1)).long()
    letters = (keys.uniform(most) * len(alphabet)).long()
    return ["".join(alphabet[k] for k in row[:size]) for row, size in zip(letters, lengths, strict=True)]


@pytest.mark.parametrize("noise", NOISES)
def test_every_noise_trains_draws_and_comes_back(noise: str, tmp_path: Path) -> None:
    model = trained(tmp_path / "run", noise=noise)
    drawn = requests.draw(model, SequencesRequest(), 3, steps=8)
    assert drawn.x.shape == (3, 60)
    assert drawn.x.max() < 4
    back = read_samples(drawn.save(tmp_path / "samples"))
    assert (back.x == drawn.x).all()
    names = [score.name for score in runs.evaluate(tmp_path / "samples")]
    assert {"pair-frequency agreement", "copies of training data", "letters misplaced"} <= set(names)
    assert not torch.equal(drawn.x, requests.draw(model, SequencesRequest(), 3, steps=8, seed=1).x)


def test_your_own_fasta_of_families_and_unequal_lengths(tmp_path: Path) -> None:
    source = fasta(tmp_path / "my.fasta", random_texts(60, 20, 30), ("hairpin", "bulge"))
    model = trained(tmp_path / "run", data=str(source), identity=0.9)
    drawn = requests.draw(model, SequencesRequest(family=("bulge",), guidance=2.0), 12)
    lengths = drawn.condition["mask"].sum(1)
    assert 20 <= lengths.min() < lengths.max() <= 30
    folder = drawn.save(tmp_path / "samples")
    assert (folder / FASTA).read_text().count("family=bulge") == 12
    back = read_samples(folder)
    assert (back.x == drawn.x).all()
    assert (back.condition["mask"] == drawn.condition["mask"]).all()
    assert requests.draw(model, SequencesRequest(length=25), 2).condition["mask"].sum(1).tolist() == [25, 25]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (SequencesRequest(family=("x",)), "--family and --guidance are for models trained with families"),
        (SequencesRequest(length=10), "all sequences of this model have 60 positions"),
        (SequencesRequest(structure="." * 60), "has no pairs"),
        (SequencesRequest(structure="()"), "has 2 columns"),
    ],
)
def test_what_cannot_be_asked_is_said(asked: SequencesRequest, message: str, model: Any) -> None:
    with pytest.raises(InputError, match=message):
        requests.draw(model, asked, 2)


def test_only_masked_models_have_second_thoughts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--sweeps is for masked models"):
        requests.draw(trained(tmp_path / "run", noise="uniform"), SequencesRequest(sweeps=2), 2)


def test_a_population_is_as_large_as_its_letters_allow(model: Any) -> None:
    """A minute of one core, if nothing is said: 512 short sequences, or 70 of a protein's length."""
    sizes = []
    for n, length in ((4, 20), (4, 223), (4, 5000), (100, 5000)):
        metadata = {**model.origin.metadata, "length": length}
        sizes.append(Sequences().request(SequencesRequest(), range(n), metadata).population["particles"])
    assert sizes == [512, 70, 64, 100]
    drawn = requests.draw(model, SequencesRequest(motif="GA"), 2, exact="particles", particles=5, steps=2)
    assert (drawn.settings["particles"], drawn.settings["steps"]) == (5, 2)
    assert drawn.exactness is not None
    assert drawn.exactness.log_evidence <= 0
    assert all("GA" in text for text in data.to_text(drawn.x, "ACGT"))


@pytest.mark.parametrize(
    ("asked", "said", "message"),
    [
        (SequencesRequest(), {"eta": 0.5}, "--eta: here the order of revealing"),
        (SequencesRequest(), {"order": 2}, "--order: here the order of revealing"),
        (SequencesRequest(), {"exact": "particles", "eta": 0.5}, "eta is for independent samples"),
        (SequencesRequest(fold="." * 60), {}, "--fold is for --exact particles, found --exact off"),
        (SequencesRequest(sweeps=2), {"exact": "particles"}, "--sweeps is for --exact off, found --exact particles"),
        (SequencesRequest(reveal_order="remask"), {"exact": "particles"}, "--reveal-order is for --exact off"),
    ],
)
def test_a_setting_is_used_or_refused(asked: Any, said: dict[str, Any], message: str, model: Any) -> None:
    with pytest.raises(InputError, match=message):
        requests.draw(model, asked, 2, **said)


@pytest.mark.parametrize("reveal", ["entropy", "confidence", "first-hitting", "ancestral", "remask"])
def test_every_order_ends_without_masks(reveal: Any, model: Any) -> None:
    drawn = requests.draw(model, SequencesRequest(reveal_order=reveal, sweeps=1, temperature=0.5, top_p=0.9), 3)
    assert drawn.x.max() < 4


def test_a_letter_outside_of_the_alphabet_stops_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written, and the message names the record and the column."""
    texts = random_texts(20, 12, 12)
    source = fasta(tmp_path / "bad.fasta", [*texts[:3], texts[3][:5] + "!" + texts[3][6:], *texts[4:]])
    code = main(["train", "sequences", "--data", str(source), "--out", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert code == 2
    assert "r3" in said
    assert "column 6" in said
    assert not (tmp_path / "run").exists()


def test_substitutions_are_reversible_and_know_what_is_alike() -> None:
    for metadata in ({"alphabet": "ACDEFGHIKLMNPQRSTVWY-", "kind": "protein"}, {"alphabet": "ACGT", "kind": "dna"}):
        chain = Substitution(network.rates(metadata["alphabet"], metadata["kind"]))
        flow = chain.stationary[:, None] * chain.rate
        assert (flow - flow.T).abs().max() < 1e-9
        assert chain.stationary.sum() == pytest.approx(1)
    protein = network.rates("ACDEFGHIKLMNPQRSTVWY", "protein")
    letter = {name: k for k, name in enumerate("ACDEFGHIKLMNPQRSTVWY")}
    assert protein[letter["I"], letter["V"]] > protein[letter["I"], letter["D"]]
    dna = network.rates("ACGT", "dna")
    assert dna[0, 2] == 2 * dna[0, 1]


# Scores ---------------------------------------------------------------------------------------------


def family(name: str = "riboswitch") -> tuple[Arrays, Arrays]:
    return data.load(name)


def letters_of(part: Arrays) -> Tensor:
    assert isinstance(part.x, Tensor)
    return part.x


def shuffled(x: Tensor) -> Tensor:
    """The broken twin: every column is as it was, and knows nothing of the others."""
    order = Keys.of(1, x.shape[1]).bits(len(x)).argsort(1).T
    return x.gather(0, order)


def judged(x: Tensor, train: Arrays, held_out: Arrays) -> dict[str, Metric]:
    judge = SequenceJudge(train, held_out, {})
    judge.add(Samples(x))
    return {metric.name: metric for metric in judge.metrics()}


def test_real_records_agree_and_shuffled_columns_do_not() -> None:
    train, held_out = family()
    found, wrong = (judged(x[:600], train, held_out) for x in (letters_of(train), shuffled(letters_of(train))))
    assert found["pair-frequency agreement"].value > 0.3
    assert wrong["pair-frequency agreement"].value < 0.1
    assert found["pairs satisfied"].value > 0.85
    assert wrong["pairs satisfied"].value < 0.65
    assert found["copies of training data"].value == 1
    assert found["letters misplaced"].value < 0.01


def test_couplings_find_the_pairs() -> None:
    train, _ = family()
    x, size = letters_of(train), len(train.metadata["alphabet"])

    def require_pairs(couplings: Tensor) -> None:
        above = torch.triu(couplings, 4)
        top = set(above.flatten().topk(30).indices.tolist())
        hits = sum(i * x.shape[1] + j in top for i, j in train.metadata["pairs"])
        assert hits >= 20

    require_pairs(metrics.couplings(x, size))
    rejected(require_pairs, metrics.couplings(shuffled(x), size))


def test_disulphides_are_both_or_neither() -> None:
    train, _ = family("trypsin")
    good = metrics.satisfied(letters_of(train), train.metadata).double().mean()
    assert good > 0.93
    assert metrics.satisfied(shuffled(letters_of(train)), train.metadata).double().mean() < good - 0.05


def test_a_model_that_knows_nothing_needs_all_bits() -> None:
    _, held_out = family("start-sites")
    task, part = Sequences(), Arrays(letters_of(held_out)[:64], {}, held_out.metadata)
    for noise in ("masked", "left-to-right"):
        denoiser = task.denoiser(update(SequencesConfig("start-sites", noise=noise), SMALL, "test"), held_out.metadata)
        torch.nn.init.zeros_(denoiser.network.get_parameter("out.weight"))
        torch.nn.init.zeros_(denoiser.network.get_parameter("out.bias"))
        assert metrics.bits_per_letter(denoiser, part) == pytest.approx(2.0, abs=0.02)


def test_figures_are_pictures() -> None:
    train, _ = family()
    trajectory = [torch.full((4, 108), 5), letters_of(train)[:4]]
    found = [figures.alignment(trajectory[1], train.metadata), *figures.trajectory(trajectory, train.metadata)]
    assert [figure.image[:4] for figure in found] == [b"\x89PNG", b"GIF8", b"\x89PNG"]


def test_samples_print_how_many_calls_were_spared(model: Any) -> None:
    drawn = requests.draw(model, SequencesRequest(reveal_order="ancestral"), 4, steps=512)
    assert isinstance(drawn, Samples)
    assert drawn.nfe <= 61


def test_the_motif_stands_before_the_start() -> None:
    train, held_out = family("start-sites")

    def require_in_place(x: Tensor) -> None:
        found = judged(x, train, held_out)["motif misplaced"]
        assert found.reference is not None
        assert found.value < found.reference + 0.05

    require_in_place(letters_of(train)[-600:])
    rejected(require_in_place, letters_of(train)[-600:].roll(9, 1))

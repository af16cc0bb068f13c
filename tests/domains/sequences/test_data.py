"""Sequence files: what is read, what is refused, and that no held-out record is close to a training record."""

import gzip
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from identities import assert_apart
from ornstein import InputError
from ornstein.domains.sequences import data
from ornstein.domains.sequences.formats import GAP, Record, read, ungapped, write_fasta
from ornstein.training.clusters import identities
from ornstein.training.datasets import Arrays
from worlds import rejected

AMINO_ACIDS = data.ALPHABETS["protein"]


def drawn(n: int, letters: str = AMINO_ACIDS, shortest: int = 30, longest: int = 30, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(letters, k=rng.randint(shortest, longest))) for _ in range(n)]


def varied(texts: Sequence[str], copies: int, share: float, letters: str = AMINO_ACIDS) -> list[str]:
    """Copies of each text with this share of the letters drawn anew."""
    rng = random.Random(1)
    redrawn = [[rng.choice(letters) if rng.random() < share else x for x in t] for t in texts for _ in range(copies)]
    return ["".join(text) for text in redrawn]


def fasta(path: Path, texts: Sequence[str], labels: Sequence[str] = ()) -> Path:
    descriptions = [f"family={label}" for label in labels] or [""] * len(texts)
    records = zip(descriptions, texts, strict=True)
    write_fasta(path, [Record(f"r{k}", about, text) for k, (about, text) in enumerate(records, 1)])
    return path


def x_of(arrays: Arrays) -> Tensor:
    assert isinstance(arrays.x, Tensor)
    return arrays.x


def texts_of(part: Arrays) -> list[str]:
    return data.to_text(x_of(part), part.metadata["alphabet"], part.condition.get("mask"))


# Files ----------------------------------------------------------------------------------------------


def test_fasta_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records = [Record("a", "", "ACGT" * 40), Record("b", "of two words", "A-C" * 20), Record("c", "", "ACG")]
    write_fasta(tmp_path / "x.fa", records)
    assert read(tmp_path / "x.fa").records == records
    assert max(map(len, (tmp_path / "x.fa").read_text().split("\n"))) == 60
    (tmp_path / "x.fa.gz").write_bytes(gzip.compress((tmp_path / "x.fa").read_bytes()))
    assert read(tmp_path / "x.fa.gz").records == records
    (tmp_path / "windows.fa").write_bytes((tmp_path / "x.fa").read_bytes().replace(b"\n", b"\r\n"))
    assert read(tmp_path / "windows.fa").records == records


def test_text_comes_back_from_categories() -> None:
    texts = ["ACGU-", "GG--U", "-----"]
    assert data.to_text(data.from_text(texts, "ACGU-", "here"), "ACGU-") == texts
    ragged = ["ACG", "UUGCA"]
    x = data.from_text(ragged, "ACGU", "here")
    assert x.tolist() == [[0, 1, 2, 0, 0], [3, 3, 2, 1, 0]]
    mask = torch.arange(5) < torch.tensor([[3], [5]])
    assert data.to_text(x, "ACGU", mask) == ragged
    assert ungapped("-AC--G") == "ACG"


def test_unequal_lengths_are_padded_and_masked(tmp_path: Path) -> None:
    texts = drawn(40, shortest=20, longest=40)
    train, held_out = data.load(str(fasta(tmp_path / "x.fasta", [*texts, texts[3].lower()])))
    assert sorted(texts_of(train) + texts_of(held_out)) == sorted(texts)
    assert (x_of(train)[~train.condition["mask"]] == 0).all()
    lengths = [str(len(text)) for text in texts_of(train)]
    assert train.metadata["lengths"] == {length: lengths.count(length) for length in train.metadata["lengths"]}
    assert sum(train.metadata["lengths"].values()) == train.metadata["records"] == len(train) == 34
    assert train.metadata["duplicates"] == 1
    assert train.metadata["source"] == "x.fasta, the user's own"
    assert not train.metadata["aligned"]


@pytest.mark.parametrize(("letters", "kind"), [("ACGT", "dna"), ("ACGU", "rna"), (AMINO_ACIDS, "protein")])
def test_the_alphabet_is_told_from_the_letters(tmp_path: Path, letters: str, kind: Any) -> None:
    path = str(fasta(tmp_path / "x.fa", drawn(20, letters)))
    train, _ = data.load(path)
    assert (train.metadata["kind"], train.metadata["alphabet"]) == (kind, letters)
    assert train.condition == {}
    assert torch.equal(x_of(data.load(path, kind)[0]), x_of(train))


def test_t_and_u_are_the_same_base(tmp_path: Path) -> None:
    path = str(fasta(tmp_path / "x.fa", drawn(20, "ACGT")))
    as_dna, as_rna = data.load(path)[0], data.load(path, "rna")[0]
    assert torch.equal(x_of(as_dna), x_of(as_rna))
    assert as_rna.metadata["alphabet"] == "ACGU"


def test_insertions_of_a3m_are_removed(tmp_path: Path) -> None:
    columns = ["-" * (k % 3) + text[k % 3 :] for k, text in enumerate(drawn(12))]
    (tmp_path / "plain.afa").write_text("".join(f">r\n{text.replace('-', '.')}\n" for text in columns))
    inserted = [f"xx{text[:7]}..acd{text[7:]}{'n' * k}" for k, text in enumerate(columns)]
    (tmp_path / "x.a3m").write_text("#A3M#\n" + "".join(f">r\n{text}\n" for text in inserted))
    (plain, _), (a3m, _) = data.load(str(tmp_path / "plain.afa")), data.load(str(tmp_path / "x.a3m"))
    assert torch.equal(x_of(plain), x_of(a3m))
    assert a3m.metadata["alphabet"] == AMINO_ACIDS + "-"
    assert a3m.metadata["aligned"]
    assert a3m.metadata["length"] == 30


def test_a_gap_makes_fasta_an_alignment(tmp_path: Path) -> None:
    texts = drawn(12)
    assert not data.load(str(fasta(tmp_path / "x.fa", texts)))[0].metadata["aligned"]
    assert data.load(str(fasta(tmp_path / "x.fa", ["-" + texts[0][1:], *texts[1:]])))[0].metadata["aligned"]


# What is refused ------------------------------------------------------------------------------------

TEXTS = drawn(12)
BASES = drawn(12, "ACGT")
ENTRIES = [f">r{k} about\n{text}\n" for k, text in enumerate(TEXTS, 1)]


def changed(text: str, column: int, letter: str) -> str:
    return text[: column - 1] + letter + text[column:]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "x.fa",
            ">a\n" + changed(TEXTS[0], 5, "X"),
            "record 1 (a), column 5: found 'X' (any amino acid), expected ACDE",
        ),
        ("x.fa", ">a\nACD\n>b\nAWE!\n", "record 2 (b), column 4 (the last): found '!', expected ACDEFGHIKLMNPQRSTVWY"),
        ("x.fa", ">\n" + TEXTS[0] + "*", "record 1, column 31 (the last): found '*' (a stop), expected ACDE"),
        ("x.fa", ">a\nWWWWWé", "record 1 (a), column 6 (the last): found 'é', expected ACDE"),
        ("x.fa", ">a\n" + changed(BASES[0], 9, "N"), "record 1 (a), column 9: found 'N' (any base), expected ACGT"),
        (
            "x.fa",
            ">a\n" + changed(BASES[0], 9, "B"),
            "record 1 (a), column 9: found 'B' (one of several bases)",
        ),
        ("x.fa", ">a\n" + changed(TEXTS[0], 9, "B"), "record 1 (a), column 9: found 'B' (D or N), expected ACDE"),
        ("x.fa", ">a\n" + changed(BASES[0], 9, "E"), "record 1 (a), column 9: found 'E', expected ACGT"),
        ("x.fa", ">a\nACD\n>b\n>c\nACD\n", "record 2 (b): has no sequence after its header"),
        ("x.fa", "ACDEF\n>a\nACD\n", "begins with 'ACDEF', expected a header, '>name'"),
        ("x.fa", " \n", "is empty, expected records"),
        ("x.fa", ">a\n-ACD\n>b\nACD\n", "record 2 (b): has 3 columns, expected 4 as in record 1"),
        ("x.afa", ">a\nACDE\n>b\nACD\n", "record 2 (b): has 3 columns, expected 4 as in record 1"),
        ("x.a3m", ">a\nACDe\n>b\nACdd\n", "record 2 (b): has 2 columns, expected 3 as in record 1"),
        ("x.a3m", ">a\nacd\n", "record 1 (a): has only gaps and insertions (lower case), no letter"),
        ("x.fa", b"\x00\x01", "not text, expected FASTA, A3M, A2M, Stockholm or Clustal; line 1 holds"),
        ("x.fa", b"\xff\xfe\xfd", "not text, expected FASTA, A3M, A2M, Stockholm or Clustal; as UTF-16"),
        ("x.fa", b">a\nACD\n>b\xe9\nACD\n", "line 3 holds the byte 0xe9, which is not UTF-8"),
        ("x.fa", b">a\nAC\0D\n", "not text, expected FASTA"),
        ("x.fa.gz", "".join(ENTRIES), "damaged gzip file"),
        ("x.fa.gz", gzip.compress("".join(ENTRIES).encode())[:-20], "damaged gzip file"),
        ("x.fa", "".join(ENTRIES[:9]) + ENTRIES[0], "has 9 different records, expected 10 or more"),
        (
            "x.fa",
            "".join([ENTRIES[0].replace("about", "family=globin"), *ENTRIES[1:]]),
            "record 2 (r2): has no 'family=NAME' in its header, and others have one",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refusal:
        data.load(str(path))
    assert str(refusal.value).startswith(f"{path}: {said}")


def test_a_refusal_names_the_option_that_leaves_records_out(tmp_path: Path) -> None:
    path = str(fasta(tmp_path / "x.fa", [changed(TEXTS[0], 5, "X"), *TEXTS[1:]]))
    with pytest.raises(
        InputError, match=r"found 'X' \(any amino acid\).*to leave such records out: --unknown-letters drop"
    ):
        data.load(path)


def test_records_with_unknown_letters_can_be_left_out(tmp_path: Path) -> None:
    """B, Z, J, O, X and U of proteins, N of bases; a stop at the end is taken off, one in the middle is unknown."""
    for letters, alphabet in (("BZJOXU", AMINO_ACIDS), ("NRYX", "ACGT")):
        texts = drawn(40, alphabet)
        bad = [changed(text, 7, letter) for text, letter in zip(texts, letters, strict=False)]
        path = str(fasta(tmp_path / "x.fa", [*bad, texts[10][:9] + "*" + texts[10][9:], texts[11] + "*", *texts[12:]]))
        parts = data.load(path, unknown_letters="drop")
        metadata = parts[0].metadata
        assert sorted(texts_of(parts[0]) + texts_of(parts[1])) == sorted(texts[11:])
        assert metadata["records"] + metadata["held_out"] == 29
        assert (metadata["unknown"], metadata["stops"]) == (len(bad) + 1, 1)
    aligned = ["-" + text[1:] for text in drawn(12)]
    path = fasta(tmp_path / "y.fa", [aligned[0][:-3] + "*--", aligned[1][:-1] + "*", *aligned[2:]])
    parts = data.load(str(path), unknown_letters="drop")
    found = texts_of(parts[0]) + texts_of(parts[1])
    assert {aligned[0][:-3] + "---", aligned[1][:-1] + "-"} <= set(found)
    with pytest.raises(InputError, match="has 9 different records, expected 10 or more, 3 left out for letters that"):
        data.load(str(fasta(tmp_path / "z.fa", ["X" + TEXTS[k] for k in range(3)] + TEXTS[3:])), unknown_letters="drop")


def test_one_very_long_record_costs_no_minutes(tmp_path: Path) -> None:
    """Nothing is compared that cannot be similar; the letters of all, padded to the longest, have a limit."""
    texts = [*drawn(20, shortest=50, longest=50), *drawn(1, shortest=50_000, longest=50_000)]
    started = time.process_time()
    train, held_out = data.load(str(fasta(tmp_path / "x.fa", texts)))
    assert time.process_time() - started < 5
    assert len(train) + len(held_out) == 21
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "MOST", 1_000_000)
        with pytest.raises(InputError, match="21 records as long as the longest, r21, are 1,050,000 letters, m"):
            data.load(str(tmp_path / "x.fa"))


def test_a_missing_file_brings_the_name_that_was_meant() -> None:
    with pytest.raises(InputError, match=r"trypsine: no such file, .* did you mean 'trypsin'\?"):
        data.load("trypsine")
    with pytest.raises(InputError, match=r"no such file, .* valid: trypsin, riboswitch, start-sites"):
        data.load("/nowhere/x.fa")


def test_one_cluster_cannot_be_split(tmp_path: Path) -> None:
    texts = varied(drawn(1), 12, 0.1)
    with pytest.raises(
        InputError, match=r"at identity 0.5, all \d+ records are one cluster.*raise the option identity"
    ):
        data.load(str(fasta(tmp_path / "x.fa", texts)), identity=0.5)
    with pytest.raises(InputError, match="each family is one cluster"):
        data.load(str(fasta(tmp_path / "x.fa", texts, ["a"] * 12)), identity=0.5)
    with pytest.raises(InputError, match=r"identity must be in \(0, 1\]"):
        data.load(str(tmp_path / "x.fa"), identity=80)


# Splitting ------------------------------------------------------------------------------------------


SHAPES = {
    "equal": lambda k, text: text,
    "aligned": lambda k, text: "-" * (k % 3) + text[k % 3 :],
    "ragged": lambda k, text: text[: 30 - k % 4],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0.6, 0.8])
def test_held_out_records_are_not_close_to_training_records(tmp_path: Path, shape: str, threshold: float) -> None:
    """Ten loose clusters of ten records: their nearest neighbours are .6 to .9 identical."""
    texts = [SHAPES[shape](k, text) for k, text in enumerate(varied(drawn(10), 10, 0.15))]
    parts = data.load(str(fasta(tmp_path / "x.fa", texts)), identity=threshold)
    train, held_out = map(texts_of, parts)
    assert len(held_out) >= 10
    assert_apart(train, held_out, threshold, "-", shape == "ragged")
    together = random.Random(0).sample(train + held_out, len(texts))
    rejected(assert_apart, together[15:], together[:15], threshold, "-", shape == "ragged")  # broken twin: at random


def test_the_shipped_families_are_split_by_identity() -> None:
    for name in data.shipped():
        train, held_out = data.load(name)
        alphabet = train.metadata["alphabet"]
        apart = identities(x_of(train), x_of(held_out), len(alphabet), alphabet.find(GAP))
        assert apart.max() < 0.8, name


def test_every_family_is_in_both_parts(tmp_path: Path) -> None:
    texts = drawn(60)
    labels = ["big"] * 50 + ["small"] * 2 + ["one"] * 8
    texts[52:] = varied(texts[52:53], 8, 0.1)  # one cluster
    train, held_out = data.load(str(fasta(tmp_path / "x.fa", texts, labels)))
    assert train.metadata["families"] == ["big", "one", "small"]
    assert train.condition["family"].bincount().tolist() == [43, 8, 1]
    assert held_out.condition["family"].bincount().tolist() == [7, 0, 1]
    by_text = dict(zip(texts, labels, strict=True))
    for part in (train, held_out):
        names = [train.metadata["families"][k] for k in part.condition["family"].tolist()]
        assert names == [by_text[text] for text in texts_of(part)]


def test_a_split_is_always_the_same_and_of_the_size_asked_for(tmp_path: Path) -> None:
    path = str(fasta(tmp_path / "x.fa", drawn(200)))
    first, second = data.load(path, held_out=0.3), data.load(path, held_out=0.3)
    assert [len(part) for part in first] == [140, 60]
    assert all(torch.equal(x_of(a), x_of(b)) for a, b in zip(first, second, strict=True))
    assert first[0].metadata == second[0].metadata
    other = data.load(str(fasta(tmp_path / "y.fa", drawn(200, seed=5))))
    assert other[0].metadata["sha256"] != first[0].metadata["sha256"]


# Shipped families -----------------------------------------------------------------------------------

CANONICAL = ("AU", "UA", "GC", "CG", "GU", "UG")


def correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]).double())[0, 1].item()


@pytest.mark.parametrize(
    ("name", "alphabet", "aligned", "records", "length", "pairs"),
    [
        ("trypsin", AMINO_ACIDS + "-", True, 692, 223, 6),
        ("riboswitch", "ACGU-", True, 4000, 108, 27),
        ("start-sites", "ACGT", False, 4500, 60, 0),
    ],
)
def test_what_ships(name: str, alphabet: str, aligned: bool, records: int, length: int, pairs: int) -> None:
    train, held_out = data.load(name)
    metadata = train.metadata
    assert metadata["records"] + metadata["held_out"] == len(train) + len(held_out) == records
    assert abs(metadata["held_out"] / records - 0.15) < 0.002
    assert (metadata["alphabet"], metadata["aligned"], metadata["length"]) == (alphabet, aligned, length)
    assert x_of(train).shape[1] == length
    assert len(metadata["pairs"]) == pairs
    assert train.condition == {}
    assert (metadata["duplicates"], metadata["lengths"], metadata["families"]) == (0, {}, [])


def test_disulphides_of_trypsins_covary() -> None:
    parts = data.load("trypsin")
    cysteine = torch.cat([x_of(part) for part in parts]) == AMINO_ACIDS.index("C")
    found = [correlation(cysteine[:, i], cysteine[:, j]) for i, j in parts[0].metadata["pairs"]]
    assert [round(phi, 2) for phi in found] == [0.89, 0.90, 0.99, 0.97, 0.57, 0.70]
    assert correlation(cysteine[:, 6], cysteine[:, 182]) < 0.5  # a pair that is none


def paired(texts: Sequence[str], pairs: Sequence[Sequence[int]]) -> float:
    return sum(text[i] + text[j] in CANONICAL for text in texts for i, j in pairs) / len(texts) / len(pairs)


def test_the_riboswitch_pairs_are_those_of_its_structure() -> None:
    train, _ = data.load("riboswitch")
    pairs, structure = train.metadata["pairs"], train.metadata["structure"]
    assert len(structure) == 108
    assert [structure[i] + structure[j] for i, j in pairs] == ["()"] * 27
    assert structure.count("(") == structure.count(")") == 27
    assert paired(texts_of(train), pairs) > 0.88
    assert paired(texts_of(train), [[i, j - 1] for i, j in pairs]) < 0.6  # the broken twin


def test_start_sites_have_their_start_codon_and_motif() -> None:
    texts = texts_of(data.load("start-sites")[0])
    assert {text[40:43] for text in texts} == {"ATG", "GTG", "TTG"}
    purines = [sum(text[k] in "AG" for text in texts) / len(texts) for k in range(40)]
    assert min(purines[28:33]) > 0.65
    assert max(purines[:20]) < 0.6


@pytest.mark.skipif(not shutil.which("cmemit"), reason="Infernal is not installed")
def test_a_covariance_model_emits_aligned_records() -> None:
    model = data.FAMILIES / "RF00162.cm"
    texts = data.emit(model, 300, seed=4)
    assert set(map(len, texts)) == {108}
    assert texts == data.emit(model, 300, seed=4)
    assert texts != data.emit(model, 300, seed=5)
    assert paired(texts, data.shipped()["riboswitch"]["pairs"]) > 0.86
    with pytest.raises(InputError, match=r"nothing\.cm: cmemit failed"):
        data.emit(Path("nothing.cm"), 3)


def test_without_infernal_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="cmemit not found: install Infernal"):
        data.emit(data.FAMILIES / "RF00162.cm", 3)

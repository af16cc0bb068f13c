"""Files of sequences in every format: the same alignment comes out of all of them, and nothing but InputError."""

import gzip
import random
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fuzz import mutations, require_clean
from ornstein import InputError
from ornstein.domains.sequences import data, formats
from ornstein.domains.sequences.formats import Contents, read

rng = random.Random(4)
AMINO_ACIDS = data.ALPHABETS["protein"]
ROWS = ["".join(rng.choices(AMINO_ACIDS + "-", k=42)) for _ in range(12)]
NAMES = [f"seq{k}/{k}-31" for k in range(12)]
INSERTED = {0: "aqw", 3: "y", 7: "aqwe"}
"""Letters between columns 20 and 21 of some records."""


def with_insertions(pad: str, row_gap: str = "-") -> list[str]:
    """The rows as A2M writes them: insertions in lower case, padded with dots to one length, or not."""
    texts = []
    for k, row in enumerate(ROWS):
        inserted = INSERTED.get(k, "")
        texts.append(row[:20] + inserted + (4 - len(inserted)) * pad + row[20:])
    return [text.replace("-", row_gap) for text in texts]


def lines(rows: Sequence[str], mark: str = ">") -> str:
    return "".join(f"{mark}{name}\n{row}\n" for name, row in zip(NAMES, rows, strict=True))


def stockholm(rows: Sequence[str], width: int = 100, marks: Sequence[str] = ()) -> str:
    """In blocks of some columns."""
    blocks = []
    for k in range(0, len(rows[0]), width):
        blocks.append("".join(f"{name:20} {row[k : k + width]}\n" for name, row in zip(NAMES, rows, strict=True)))
        blocks[-1] += "".join(f"#=GC {mark.split()[0]:15} {mark.split()[1][k : k + width]}\n" for mark in marks)
    said = f"#=GF ID   Globin\n#=GS {NAMES[2]} DE of two words\n"
    return f"# STOCKHOLM 1.0\n{said}\n" + "\n".join(blocks) + "//\n"


def clustal(rows: Sequence[str], width: int = 15, counted: bool = False) -> str:
    blocks = []
    for k in range(0, len(rows[0]), width):
        number = f" {k + width}" if counted else ""
        block = "".join(f"{name:20} {row[k : k + width]}{number}\n" for name, row in zip(NAMES, rows, strict=True))
        blocks.append(block + " " * 21 + "*:. " * 3 + "\n")
    return "CLUSTAL W (1.83) multiple sequence alignment\n\n\n" + "\n".join(blocks)


def contents(folder: Path, name: str, content: str | bytes) -> Contents:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(path)


REFERENCE = "x" * 20 + "...." + "x" * 22
FORMATS: dict[str, tuple[str, str | bytes, int]] = {
    "fasta": ("x.fasta", lines(ROWS), 0),
    "dots": ("x.afa", lines([row.replace("-", ".") for row in ROWS]), 0),
    "a3m": ("x.a3m", lines(with_insertions("")), 8),
    "A3M": ("X.A3M", lines(with_insertions("")), 8),
    "a3m of MMseqs2": ("x.a3m", lines(with_insertions("")).replace("\n>seq4", "\n\0>seq4") + "\0", 8),
    "a2m, padded": ("x.a2m", lines(with_insertions(".")), 8),
    "a2m, bare": ("x.a2m", lines(with_insertions("")), 8),
    "stockholm": ("x.sto", stockholm(ROWS), 0),
    "stockholm, interleaved, gz": ("x.sto.gz", gzip.compress(stockholm(ROWS, 17).encode()), 0),
    "stockholm without a name": ("x.txt", stockholm(ROWS), 0),
    "stockholm of HMMER": ("x.sto", stockholm(with_insertions(".")), 8),
    "stockholm of Rfam": ("x.sto", stockholm(with_insertions(".", "."), 30, [f"RF {REFERENCE}"]), 8),
    "clustal": ("x.aln", clustal(ROWS), 0),
    "clustal, counted": ("x.clw", clustal(ROWS, 60, counted=True), 0),
    "muscle": ("x.aln", clustal(ROWS).replace("CLUSTAL W (1.83)", "MUSCLE (3.8)"), 0),
    "T-Coffee": ("x.aln", clustal(ROWS).replace("CLUSTAL W (1.83)", "CLUSTAL FORMAT for T-COFFEE"), 0),
    "aligned fasta named aln": ("x.aln", lines(ROWS), 0),
    "a mark of byte order": ("x.fa", "\ufeff" + lines(ROWS), 0),
    "UTF-16": ("x.fa", lines(ROWS).encode("utf-16"), 0),
    "UTF-16, Windows": ("x.sto", b"\xfe\xff" + stockholm(ROWS).replace("\n", "\r\n").encode("utf-16-be"), 0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_alignment(name: str, tmp_path: Path) -> None:
    file, content, insertions = FORMATS[name]
    found = contents(tmp_path, file, content)
    rows = [record.sequence.replace(".", "-") for record in found.records]
    assert rows == ROWS
    assert [record.name for record in found.records] == NAMES
    assert found.insertions == insertions
    train, held_out = data.load(str(tmp_path / file))
    letters = [data.to_text(part.x, part.metadata["alphabet"]) for part in (train, held_out)]  # pyright: ignore[reportArgumentType]
    assert sorted(letters[0] + letters[1]) == sorted(ROWS)
    assert train.metadata["insertions"] == insertions
    assert train.metadata["aligned"]


def test_what_stockholm_says_of_a_record_is_its_description(tmp_path: Path) -> None:
    records = contents(tmp_path, "x.sto", stockholm(ROWS)).records
    assert [record.description for record in records[:4]] == ["", "", "of two words", ""]


def test_records_in_lower_case_have_columns(tmp_path: Path) -> None:
    """Soft-masked: nothing says that they are insertions."""
    found = contents(tmp_path, "x.sto", stockholm([row.lower() for row in ROWS]))
    assert [record.sequence.upper() for record in found.records] == ROWS
    assert found.insertions == 0
    mixed = [row[:9].lower() + row[9:] if k % 2 else row for k, row in enumerate(ROWS)]
    assert contents(tmp_path, "x.sto", stockholm(mixed)).insertions == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.sto", stockholm(ROWS) + stockholm(ROWS), "line 18: another alignment begins; expected one"),
        ("x.sto", stockholm(ROWS).removesuffix("//\n"), "ends without '//'"),
        ("x.sto", "# STOCKHOLM 1.0\n//\n", "is empty, expected lines of a name and its letters"),
        ("x.sto", stockholm(ROWS).replace(NAMES[1], ""), "line 6: .* is not a name and its letters"),
        ("x.sto", stockholm(ROWS, marks=["RF xxx"]), "#=GC RF has 3 columns, the records 42"),
        ("x.sto", lines(ROWS), "begins with '>seq0/0-31', expected '# STOCKHOLM 1.0'"),
        ("x.aln", clustal(ROWS).replace(NAMES[1], "other", 1), "a block names other records"),
        ("x.aln", "CLUSTAL W\n\n", "is empty"),
        ("x.aln", clustal(ROWS) + "seq0 ACD of something\n", "line .*: 'seq0 ACD of something' is not a name"),
        (
            "x.phy",
            "12 42\nseq0 ACDEF\n",
            "begins with '12 42\\\\nseq0 ACDEF', expected a header, '>name', or another of FASTA, A3M",
        ),
        ("x.fa.gz", lines(ROWS), "damaged gzip file"),
    ],
)
def test_what_is_wrong_is_said(name: str, content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        contents(tmp_path, name, content)


def test_records_of_unequal_lengths_are_named_in_every_alignment(tmp_path: Path) -> None:
    for name, text in (("x.sto", stockholm(ROWS)), ("x.a2m", lines(ROWS)), ("x.aln", clustal(ROWS, 50))):
        (tmp_path / name).write_text(text.replace(ROWS[4], ROWS[4][:-2]))
        with pytest.raises(InputError, match=r"record 5 \(seq4/4-31\): has 40 columns, expected 42 as in record 1"):
            data.load(str(tmp_path / name))


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LIMIT", 1_000_000)
    (tmp_path / "x.fa.gz").write_bytes(gzip.compress(b">a\n" + b"A" * 100_000_000, 1))
    with pytest.raises(InputError, match="unpacks to more than the limit of 1 MB"):
        read(tmp_path / "x.fa.gz")
    (tmp_path / "x.fa").write_bytes(b">a\n" + b"A" * 2_000_000)
    with pytest.raises(InputError, match="more than the limit of 1 MB"):
        read(tmp_path / "x.fa")


# Inputs that are almost right -------------------------------------------------------------------------

FUZZED = ("fasta", "a3m of MMseqs2", "a2m, padded", "stockholm of Rfam", "clustal", "UTF-16")


def reader(folder: Path, name: str, unknown: data.Unknown) -> Callable[[bytes], object]:
    def load(content: bytes) -> object:
        path = folder / name
        path.write_bytes(content)
        return data.load(str(path), unknown_letters=unknown)

    return load


def fuzz(name: str, n: int, folder: Path) -> None:
    file, content, _ = FORMATS[name]
    content = content.encode() if isinstance(content, str) else content
    for unknown in ("refuse", "drop"):
        accepted, refused = require_clean(
            reader(folder, file, unknown), mutations(content, n // 2, zlib.crc32(name.encode()))
        )
        assert accepted > n // 50
        assert refused > n // 50


@pytest.mark.parametrize("name", FUZZED)
def test_files_that_are_almost_right_are_read_or_refused(name: str, tmp_path: Path) -> None:
    fuzz(name, 200, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZED)
def test_many_files_that_are_almost_right_are_read_or_refused(name: str, tmp_path: Path) -> None:
    fuzz(name, 10_000, tmp_path)

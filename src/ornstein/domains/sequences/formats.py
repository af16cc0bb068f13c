"""Files of sequences: FASTA, A3M, A2M, Stockholm and Clustal, plain or gzip'd, in UTF-8 or UTF-16.

| file | known by | aligned | insertions |
|---|---|---|---|
| FASTA (.fa, .fasta, .fna, .faa) | ">" | if a record has a gap "-" | |
| aligned FASTA (.afa, .aln) | ">", its name | yes, "." is a gap too | |
| A3M (.a3m), A2M (.a2m) | ">", its name | yes | lower-case letters and "." |
| Stockholm (.sto, .stk) | "# STOCKHOLM" | yes, ". _ ~" are gaps | columns that #=GC RF leaves out, or, without it, of
    lower-case letters and "." alone |
| Clustal (.aln) | "CLUSTAL", or the name of another program that writes it | yes | |

Insertions are letters that have no column of their own in the alignment; they are left out and counted. The MMseqs2
server ends its blocks with NUL bytes, which are passed over at the ends of lines.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError
from ...files import MB, content, decoded, gunzipped, write_text

GAP = "-"
LIMIT = 256 * MB
"""Bytes of a file, before and after it is unpacked."""
EXPECTED = "FASTA, A3M, A2M, Stockholm or Clustal"
_GAPS = str.maketrans("._~", GAP * 3)


@dataclass(frozen=True)
class Record:
    """One sequence: `>name description`, and its letters on one line."""

    name: str
    description: str
    sequence: str


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        records: in their order; sequences as written, or the columns of an alignment.
        aligned: the format says so; records of FASTA can be aligned without it.
        insertions: letters that are in no column, and left out.
    """

    records: list[Record]
    aligned: bool
    insertions: int = 0


def read(path: Path) -> Contents:
    """The records of a file; InputError with the place of what is wrong if it is none of those above."""
    text = _text(path)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    first = text.lstrip().split("\n", 1)[0]
    if first.startswith("# STOCKHOLM"):
        return _stockholm(text, path)
    if re.match(r"CLUSTAL|MUSCLE|PROBCONS|T-COFFEE|Kalign", first):
        return Contents(_clustal(text, path), aligned=True)
    if suffix in (".sto", ".stk", ".sth") and first:
        raise InputError(f"{path}: begins with {first[:20]!r}, expected '# STOCKHOLM 1.0'")
    records = _fasta(text, path)
    if suffix in (".a3m", ".a2m"):
        columns = [replace(record, sequence=without_insertions(record.sequence)) for record in records]
        return Contents(columns, aligned=True, insertions=sum(_lower(record.sequence) for record in records))
    return Contents(records, aligned=suffix in (".afa", ".aln"))


def at(number: int, name: str) -> str:
    """How an error names a record, counted from 1."""
    return f"record {number} ({name})" if name else f"record {number}"


def ungapped(text: str) -> str:
    """The letters alone."""
    return text.replace(GAP, "")


def without_insertions(text: str) -> str:
    """The columns of a line of A3M or A2M: lower-case letters and dots are not in the alignment."""
    return re.sub(r"[a-z.]", "", text)


def fasta(records: Iterable[Record]) -> str:
    """Records as FASTA, in lines of 60 letters; gaps are kept."""
    lines = ([f">{r.name} {r.description}".rstrip(), *re.findall(".{1,60}", r.sequence)] for r in records)
    return "".join(f"{line}\n" for record in lines for line in record)


def write_fasta(path: Path, records: Iterable[Record]) -> None:
    """Atomically writes a FASTA file; see `fasta`."""
    write_text(path, fasta(records))


def read_fasta(text: str, path: Path) -> list[Record]:
    """The records of FASTA; InputError with the place of what is wrong if it is none.

    Args:
        text: whole records.
        path: of the file that it stands in, for errors.
    """
    return _fasta(_tidied(text, path), path)


def _lower(text: str) -> int:
    return len(re.findall(r"[a-z]", text))


def _text(path: Path) -> str:
    """The file as text with lines that end in a line feed."""
    data = content(path, LIMIT, EXPECTED)
    if path.suffix.lower() == ".gz" and data[:2] != b"\x1f\x8b":
        raise InputError(f"{path}: damaged gzip file, it does not begin as one")
    data = gunzipped(data, LIMIT, path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not text, expected {EXPECTED}; as UTF-16: {error.reason}") from None
    else:
        text = decoded(data, path)
    return _tidied(text, path)


def _tidied(text: str, path: Path) -> str:
    """Text with lines that end in a line feed; InputError for characters that no text has."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"^\0+|\0+$", "", text, flags=re.MULTILINE)
    if strange := re.search(r"[\0-\x08\x0e-\x1f]", text):
        line = text.count("\n", 0, strange.start()) + 1
        raise InputError(f"{path}: not text, expected {EXPECTED}; line {line} holds {strange[0]!r}")
    return text


# FASTA ----------------------------------------------------------------------------------------------


def _fasta(text: str, path: Path) -> list[Record]:
    """What follows each ">" that begins a line."""
    before, *entries = re.split(r"^>", text, flags=re.MULTILINE)
    before = re.sub(r"^#.*", "", before, flags=re.MULTILINE).strip()  # some A3M files begin with a comment
    if before:
        raise InputError(f"{path}: begins with {before[:20]!r}, expected a header, '>name', or another of {EXPECTED}")
    if not entries:
        raise InputError(f"{path}: is empty, expected records, each a header '>name' and a sequence")
    return [_record(entry, number, path) for number, entry in enumerate(entries, 1)]


def _record(entry: str, number: int, path: Path) -> Record:
    header, *lines = entry.split("\n")
    name, description = [*header.split(maxsplit=1), "", ""][:2]
    sequence = "".join("".join(lines).split())
    if not sequence:
        raise InputError(f"{path}: {at(number, name)}: has no sequence after its header")
    return Record(name, description.strip(), sequence)


# Stockholm ------------------------------------------------------------------------------------------


def _stockholm(text: str, path: Path) -> Contents:
    """One alignment, in one block or in several, with its insertions left out."""
    rows: dict[str, list[str]] = {}
    said: dict[str, list[str]] = {}
    reference, ended = [], False
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or (ended and words == ["//"]):
            continue
        if ended:
            raise InputError(f"{path}: line {number}: another alignment begins; expected one, split the file")
        if words[0] == "//":
            ended = True
        elif words[:2] == ["#=GC", "RF"] and len(words) == 3:
            reference.append(words[2])
        elif words[0] == "#=GS" and words[2:3] == ["DE"]:
            said.setdefault(words[1], []).extend(words[3:])
        elif not words[0].startswith("#"):
            if len(words) != 2:
                raise InputError(f"{path}: line {number}: {line[:40]!r} is not a name and its letters")
            rows.setdefault(words[0], []).append(words[1])
    if not ended:
        raise InputError(f"{path}: ends without '//', so that its end is missing")
    if not rows:
        raise InputError(f"{path}: is empty, expected lines of a name and its letters")
    records = [Record(name, " ".join(said.get(name, [])), "".join(parts)) for name, parts in rows.items()]
    return _in_columns(records, "".join(reference), path)


def _in_columns(records: Sequence[Record], reference: str, path: Path) -> Contents:
    """The records in the columns that are no insertions; as they are if they are not of one length."""
    texts = [record.sequence for record in records]
    even = len(set(map(len, texts))) == 1
    if even and reference and len(reference) != len(texts[0]):
        raise InputError(f"{path}: #=GC RF has {len(reference)} columns, the records {len(texts[0])}")
    kept = (_referred(reference) if reference else _matched(texts)) if even else []
    if not any(kept):
        kept = [True] * max(map(len, texts))  # all in lower case
    out = sum(letter.isalpha() for text in texts for letter, keep in zip(text, kept, strict=False) if not keep)
    columns = ("".join(letter for letter, keep in zip(text, kept, strict=False) if keep) for text in texts)
    both = zip(records, columns, strict=True)
    return Contents([replace(one, sequence=text.translate(_GAPS)) for one, text in both], True, out)


def _referred(reference: str) -> list[bool]:
    return [mark not in "-._~" for mark in reference]


def _matched(texts: Sequence[str]) -> list[bool]:
    """Where a column is more than insertions, as HMMER and Pfam write them: lower-case letters and dots alone.

    A column of lower-case letters and others says that case means something else, such as repeats.
    """
    columns = [set(column) for column in zip(*texts, strict=True)]
    lower = [any("a" <= x <= "z" for x in column) for column in columns]
    only = [all(x == "." or "a" <= x <= "z" for x in column) for column in columns]
    meant = all(alone for alone, some in zip(only, lower, strict=True) if some)
    return [not (alone and some and meant) for alone, some in zip(only, lower, strict=True)]


# Clustal --------------------------------------------------------------------------------------------


def _clustal(text: str, path: Path) -> list[Record]:
    """The records of all blocks, whose names must be the same."""
    names, parts = [], []
    for block in _blocks(text, path):
        if parts and [name for name, _ in block] != names:
            raise InputError(f"{path}: a block names other records than the first one, {', '.join(names)[:60]}")
        names = [name for name, _ in block]
        parts.append([letters for _, letters in block])
    if not parts:
        raise InputError(f"{path}: is empty, expected lines of a name and its letters")
    rows = ("".join(row).translate(_GAPS) for row in zip(*parts, strict=True))
    return [Record(name, "", row) for name, row in zip(names, rows, strict=True)]


def _blocks(text: str, path: Path) -> Iterator[list[tuple[str, str]]]:
    """(name, letters) of the lines between empty ones; how well a column is kept stands on lines without a name."""
    block: list[tuple[str, str]] = []
    for number, line in enumerate(text.strip().split("\n")[1:], 2):
        words = line.split()
        if line[:1].isspace() or not words:
            if block:
                yield block
            block = []
        elif len(words) == 2 or (len(words) == 3 and words[2].isdecimal()):
            block.append((words[0], words[1]))
        else:
            raise InputError(f"{path}: line {number}: {line[:40]!r} is not a name and its letters")
    if block:
        yield block

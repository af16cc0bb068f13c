"""What the files of a folder say of its pictures: tables, or texts beside them.

A table is `metadata.csv`, with a header, or `metadata.jsonl`, one JSON object a line, in any folder: `file_name` is the
path of a picture from there, `text`, `caption` or `prompt` (or the column that the user names) what it shows, `label`
its class. Several rows of one picture, or a list of texts, are several captions. Beside a picture, the lines of a .txt
or .caption of its name are its captions. Texts are UTF-8, or UTF-16 with its mark.
"""

import codecs
import csv
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unicodedata import normalize

from .... import files
from ....errors import InputError

TABLES = ("metadata.csv", "metadata.jsonl")
TEXTS = (".txt", ".caption")
COLUMNS = ("text", "caption", "prompt")
"""Columns of a table that may hold the captions."""
_MOST_OF_TABLE, _MOST_OF_TEXT = 200 * files.MB, files.MB
_MOST_LETTERS = 10_000  # of one caption
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Said:
    """What is said of one picture.

    Attributes:
        captions: all of them, none twice.
        label: its class; None if there is none.
    """

    captions: tuple[str, ...] = ()
    label: str | None = None

    def __or__(self, other: "Said") -> "Said":
        """Both; InputError if they name two classes."""
        if None not in (self.label, other.label) and self.label != other.label:
            raise InputError(f"label {other.label!r}, but {self.label!r} in an earlier row")
        captions = tuple(dict.fromkeys((*self.captions, *other.captions)))
        return Said(captions, self.label if self.label is not None else other.label)


def of_tables(folder: Path, tables: Sequence[str], column: str = "") -> dict[str, Said]:
    """Of each picture that the tables name, by its path in the folder.

    InputError, with the table and line, for what cannot be understood.

    Args:
        folder: of the pictures.
        tables: paths in it.
        column: of the captions; the one of `COLUMNS` that is there, if empty.
    """
    found: dict[str, Said] = {}
    for table in tables:
        own = _of_table(folder, table, column)
        twice = sorted(own.keys() & found.keys())
        if twice:
            raise InputError(f"{folder / table}: {twice[0]} is in another table, too; expected one of them")
        found |= own
    return found


def beside(folder: Path, pictures: Sequence[str], texts: Sequence[str]) -> tuple[dict[str, Said], list[str]]:
    """Of each picture with a text of its name, by its path in the folder; and the texts that have no picture.

    Errors as of `of_tables`.
    """
    stems = {name: posixpath.splitext(name)[0] for name in pictures}
    known, by_stem, alone = set(stems.values()), dict[str, Said](), []
    for name in texts:
        stem = posixpath.splitext(canonical(name))[0]
        if stem in known:
            by_stem[stem] = by_stem.get(stem, Said()) | _of_text(folder / name)
        else:
            alone.append(name)
    return {name: by_stem[stem] for name, stem in stems.items() if stem in by_stem}, alone


def _of_text(path: Path) -> Said:
    lines = re.split(r"\r\n|\n|\r", text_of(path, _MOST_OF_TEXT, "captions"))
    captions = (_caption(line, f"{path}: line {k}") for k, line in enumerate(lines, 1))
    return Said(tuple(dict.fromkeys(filter(None, captions))))


def text_of(path: Path, limit: int, expected: str) -> str:
    """A text file as it was written: UTF-8, or UTF-16 with its mark; InputError names the line that is neither.

    Args:
        path: of the file.
        limit: bytes.
        expected: what the file should be, in words.
    """
    data = files.content(path, limit, expected)
    encoding = _MARKS.get(data[:2])
    try:
        text = data.decode(encoding) if encoding else files.decoded(data, path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: begins as UTF-16, but {error.reason} at byte {error.start}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}: line {line} holds a NUL, expected text in UTF-8")
    return text


def canonical(name: str) -> str:
    """A path in a folder in the one form in which names are compared, accents and all."""
    return normalize("NFC", name)


# Tables -----------------------------------------------------------------------------------------------


def _of_table(folder: Path, table: str, column: str) -> dict[str, Said]:
    path = folder / table
    rows = list(_csv(path) if table.endswith(".csv") else _jsonl(path))
    if not rows:
        raise InputError(f"{path}: has no rows")
    fields = list(dict.fromkeys(name for _, row in rows for name in row))
    if "file_name" not in fields:
        raise InputError(f"{path}: has no column 'file_name', found {', '.join(fields) or 'none'}")
    captions = _caption_column(path, fields, column)
    if not captions and "label" not in fields:
        expected = ", ".join(map(repr, COLUMNS))
        raise InputError(f"{path}: says nothing of the pictures, expected a column {expected} or 'label'")
    found: dict[str, Said] = {}
    for line, row in rows:
        where = f"{path}: line {line}"
        name = _place(posixpath.dirname(table), row.get("file_name"), where)
        try:
            found[name] = found.get(name, Said()) | Said(_captions(row, captions, where), _label(row, where))
        except InputError as error:
            raise InputError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    return found


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and fields of each row."""
    reader = csv.reader(
        StringIO(text_of(path, _MOST_OF_TABLE, "a table"), newline=""), strict=True, skipinitialspace=True
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) < len(header):
            raise InputError(f"{path}: has two columns of one name among {', '.join(header)}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                quoted = "; a text with a comma stands in quotes" if len(row) > len(header) else ""
                raise InputError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, expected {len(header)}{quoted}"
                )
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}") from None


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for k, line in enumerate(text_of(path, _MOST_OF_TABLE, "a table").split("\n"), 1):
        if line.strip():
            where = f"{path}: line {k}"
            yield k, files.require(files.parse_json(line, where, "a JSON object a line"), {}, where)


def _caption_column(path: Path, fields: Sequence[str], wanted: str) -> str:
    if wanted and wanted not in fields:
        raise InputError(f"{path}: has no column {wanted!r} of captions, found {', '.join(fields)}")
    found = [name for name in COLUMNS if name in fields]
    if len(found) > 1 and not wanted:
        raise InputError(f"{path}: has the columns {' and '.join(found)}; say which is the caption by caption_column")
    return wanted or "".join(found)


def _place(folder: str, name: Any, where: str) -> str:
    """The path of a picture in the folder, from what a table in one of its folders calls it."""
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{where}: file_name is {name!r}, expected the path of a picture")
    return canonical(posixpath.normpath(posixpath.join(folder, name.strip().replace("\\", "/"))))


def _captions(row: Mapping[str, Any], column: str, where: str) -> tuple[str, ...]:
    said = row.get(column) if column else None
    texts = said if isinstance(said, list) else [] if said is None else [said]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: {column} is {said!r:.80}, expected text or a list of texts")
    return tuple(dict.fromkeys(filter(None, (_caption(text, where) for text in texts))))


def _label(row: Mapping[str, Any], where: str) -> str | None:
    label = row.get("label")
    if label is not None and (isinstance(label, bool) or not isinstance(label, str | int)):
        raise InputError(f"{where}: label is {label!r:.80}, expected a name or a whole number")
    if isinstance(label, int) and abs(label) > 10**9:
        raise InputError(f"{where}: label is a number of more than nine digits, expected a name or a small number")
    return None if label is None or not str(label).strip() else _encodable(str(label).strip(), where)


def _caption(text: str, where: str) -> str:
    if len(text) > _MOST_LETTERS:
        raise InputError(f"{where}: a caption of {len(text)} letters, expected at most {_MOST_LETTERS}")
    return _encodable(text.strip(), where)


def _encodable(text: str, where: str) -> str:
    """InputError for halves of letters, which JSON can hold and no file can."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{where}: holds half of a letter (a lone surrogate), expected text")
    return text

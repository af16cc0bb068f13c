"""What the data is: sequences of amino acids or bases, one category a letter, and family labels if the file has them.

A name stands for a family that is shipped (families/README.md), a path for a file of the kinds in formats.py. An
aligned record has the gap as one more category, the last. Unaligned records of unequal lengths are padded with 0 and
have a mask. A word `family=NAME` in every header labels the records.

Letters outside the alphabet, such as X, N or U, are errors, unless records that have one may be left out
(`unknown_letters = "drop"`); a "*" at the end of a record, a stop, is then taken off. What is left out is counted:
such records, exact duplicates, and insertions, which have no column in an alignment.

Records are split so that no held-out record is as similar as `identity` to a training record: clusters of similar
records stay whole, and `clusters.py` says what is similar.
"""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ...config import suggestion
from ...errors import InputError
from ...training.clusters import clustered, split
from ...training.datasets import Arrays
from .formats import GAP, Record, at, read, ungapped, without_insertions

Kind = Literal["auto", "protein", "dna", "rna"]
Unknown = Literal["refuse", "drop"]

ALPHABETS = {"protein": "ACDEFGHIKLMNPQRSTVWY", "dna": "ACGT", "rna": "ACGU"}
FAMILIES = Path(__file__).with_name("families")
FEWEST = 10
MOST = 200_000_000
"""Letters of all records, each as long as the longest."""
_UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)  # str.upper makes letters of others: "ß" is "SS"
_AMINO_ACIDS = {
    "X": "any amino acid", "U": "selenocysteine", "O": "pyrrolysine", "B": "D or N", "Z": "E or Q", "J": "I or L",
    "*": "a stop",
}  # fmt: skip
_BASES = {"N": "any base", **dict.fromkeys("RYSWKMBDHV", "one of several bases")}


# Data sets ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Set:
    """What a file holds: different records, in the letters of `alphabet`, and how much of it was left out."""

    texts: list[str]
    labels: list[str]
    kind: str
    aligned: bool
    left_out: dict[str, int]

    @property
    def alphabet(self) -> str:
        return ALPHABETS[self.kind] + GAP * self.aligned

    @property
    def even(self) -> bool:
        return len(set(map(len, self.texts))) == 1


def shipped() -> dict[str, dict[str, Any]]:
    """What is known of the shipped families, by name: file, source with licence, pairs, structure."""
    return json.loads((FAMILIES / "families.json").read_text())


def load(
    source: str,
    alphabet: Kind = "auto",
    identity: float = 0.8,
    held_out: float = 0.15,
    unknown_letters: Unknown = "refuse",
) -> tuple[Arrays, Arrays]:
    """Training and held-out records of a shipped family or a file; InputError if it is not as said above.

    Args:
        source: a name of `shipped()`, or a path.
        alphabet: "auto" tells it from the letters.
        identity: records at least this similar are in the same part.
        held_out: the share of the records to hold out.
        unknown_letters: "drop" leaves out the records that have letters outside of the alphabet.
    """
    known = shipped()
    about = known.get(source, {"source": f"{Path(source).name}, the user's own"})
    path = FAMILIES / about["file"] if source in known else Path(source)
    if not path.is_file():
        raise InputError(f"{source}: no such file, and not the name of a data set{suggestion(source, list(known))}")
    if not (0 < identity <= 1 and 0 < held_out < 1):
        raise InputError(f"identity must be in (0, 1] and held_out in (0, 1), found {identity} and {held_out}")
    data = _read_set(path, alphabet, unknown_letters)
    x, letters = from_text(data.texts, data.alphabet, source), torch.from_numpy(_bytes(data.texts) != 0)
    condition = {} if data.even else {"mask": letters}
    clusters = clustered(x, len(data.alphabet), identity, data.alphabet.find(GAP), condition.get("mask"))
    chosen = split(clusters, data.labels, held_out)
    if not chosen.any():
        what = "each family is" if any(data.labels) else f"all {len(x)} records are"
        raise InputError(
            f"{source}: at identity {identity}, {what} one cluster, so none can be held out: raise the option identity"
        )
    metadata = _metadata(data, clusters, chosen, about)
    if metadata["families"]:
        condition["family"] = torch.tensor([metadata["families"].index(label) for label in data.labels])
    whole = Arrays(x, condition, metadata)
    train, test = (Arrays(*whole.batch(part.nonzero()[:, 0]), metadata) for part in (~chosen, chosen))
    return train, test


def _metadata(data: _Set, clusters: Tensor, held_out: Tensor, about: dict[str, Any]) -> dict[str, Any]:
    """What the model must know, in JSON values."""
    lengths = Counter(len(text) for text, out in zip(data.texts, held_out.tolist(), strict=True) if not out)
    sizes = clusters.unique(return_counts=True)[1]
    content = "\n".join(data.texts + data.labels)
    return {
        "source": about["source"],
        "alphabet": data.alphabet,
        "kind": data.kind,
        "aligned": data.aligned,
        "length": max(map(len, data.texts)),
        "lengths": {} if data.even else {str(length): lengths[length] for length in sorted(lengths)},
        "families": sorted(set(data.labels) - {""}),
        "records": int((~held_out).sum()),
        "held_out": int(held_out.sum()),
        **data.left_out,
        "clusters": len(sizes),
        "redundancy": float(f"{int(sizes[sizes > 1].sum()) / len(clusters):.4g}"),
        "sha256": sha256(content.encode()).hexdigest(),
        "pairs": about.get("pairs", []),
        "structure": about.get("structure", ""),
        "model": about.get("model", ""),
        "motif": about.get("motif", ""),
    }


def _read_set(path: Path, kind: str, unknown: str) -> _Set:
    file = read(path)
    records = file.records
    aligned = file.aligned or any(GAP in record.sequence for record in records)
    texts = [_cleaned(record.sequence, aligned) for record in records]
    kind = _kind(texts) if kind == "auto" else kind
    letters = ALPHABETS[kind] + GAP * aligned
    if kind != "protein":
        texts = [text.replace("U", "T") if kind == "dna" else text.replace("T", "U") for text in texts]
    stops = 0
    if unknown == "drop":
        texts, stops = _without_stops(texts, aligned)
    if aligned:
        _require_columns(texts, records, path)
    good = [set(text) <= set(letters) for text in texts] if unknown == "drop" else [True] * len(texts)
    chosen = [(text, record) for text, record, keep in zip(texts, records, good, strict=True) if keep]
    _require_room(chosen, path)
    if unknown == "refuse":
        _require_letters(texts, letters, records, path)
    labels = _labels([record for _, record in chosen], path)
    different = list(dict.fromkeys(zip([text for text, _ in chosen], labels, strict=True)))
    dropped = good.count(False)
    if len(different) < FEWEST:
        without = f", {dropped} left out for letters that are not one of {letters}" if dropped else ""
        raise InputError(f"{path}: has {len(different)} different records, expected {FEWEST} or more{without}")
    texts, labels = map(list, zip(*different, strict=True))
    left_out = {
        "duplicates": len(chosen) - len(different),
        "unknown": dropped,
        "stops": stops,
        "insertions": file.insertions,
    }
    return _Set(texts, labels, kind, aligned, left_out)


def _cleaned(text: str, aligned: bool) -> str:
    upper = text.translate(_UPPER)
    return upper.replace(".", GAP) if aligned else upper


def _without_stops(texts: Sequence[str], aligned: bool) -> tuple[list[str], int]:
    """The records without the stop at the end of each, a gap in an alignment, and how many had one."""
    ends = [re.sub(r"\*(-*)$", rf"{GAP * aligned}\1", text) for text in texts]
    return ends, sum(a != b for a, b in zip(ends, texts, strict=True))


def _require_room(chosen: Sequence[tuple[str, Record]], path: Path) -> None:
    """InputError if the records, each padded to the longest, are more than fit."""
    longest, record = max(((len(text), record) for text, record in chosen), key=lambda one: one[0], default=(0, None))
    if record is not None and longest * len(chosen) > MOST:
        raise InputError(
            f"{path}: {len(chosen)} records as long as the longest, {record.name}, are {longest * len(chosen):,} "
            f"letters, more than the limit of {MOST:,}: leave out long records, or take fewer"
        )


def _require_letters(texts: Sequence[str], letters: str, records: Sequence[Record], path: Path) -> None:
    """InputError that names the first letter that is none of them, and the option that leaves its record out."""
    try:
        from_text(texts, letters, str(path), [record.name for record in records])
    except InputError as error:
        raise InputError(f"{error}; to leave such records out: --unknown-letters drop") from None


def _require_columns(texts: Sequence[str], records: Sequence[Record], path: Path) -> None:
    """InputError unless all have as many columns, and a letter in one of them."""
    for number, (text, record) in enumerate(zip(texts, records, strict=True), 1):
        if not ungapped(text):
            raise InputError(f"{path}: {at(number, record.name)}: has only gaps and insertions (lower case), no letter")
        if len(text) != len(texts[0]):
            raise InputError(
                f"{path}: {at(number, record.name)}: has {len(text)} columns, expected {len(texts[0])} as in record 1,"
                " since this is an alignment"
            )


def _kind(texts: Iterable[str]) -> str:
    """DNA or RNA if nine letters in ten are bases or N, a third of them in proteins: a stray letter stays an error."""
    counts = Counter("".join(texts).replace(GAP, ""))
    if sum(counts[letter] for letter in "ACGTUN") < 0.9 * counts.total():
        return "protein"
    return "rna" if counts["U"] > counts["T"] else "dna"


def _labels(records: Sequence[Record], path: Path) -> list[str]:
    """The family of each record, all empty if no record has one."""
    found = [re.search(r"(?:^|\s)family=(\S+)", record.description) for record in records]
    labels = [match.group(1) if match else "" for match in found]
    if any(labels) and not all(labels):
        number = labels.index("")
        raise InputError(
            f"{path}: {at(number + 1, records[number].name)}: has no 'family=NAME' in its header, and others have one"
        )
    return labels


# Text and categories --------------------------------------------------------------------------------


def from_text(texts: Sequence[str], alphabet: str, where: str, names: Sequence[str] = ()) -> Int64[Tensor, "n length"]:
    """The category of each letter, padded with 0; InputError, naming file and record, if the alphabet has it not.

    Args:
        texts: sequences as text.
        where: the file, for errors.
        names: of the records, for errors.
    """
    table = np.full(256, -1)
    table[list(alphabet.encode())] = range(len(alphabet))
    table[0] = 0
    categories = table[_bytes(texts)]
    if (categories < 0).any():
        record, column = map(int, np.argwhere(categories < 0)[0])
        name = names[record] if names else ""
        raise InputError(
            f"{where}: {at(record + 1, name)}, {_found(texts[record], column, alphabet)}, expected {alphabet}"
        )
    return torch.from_numpy(categories)


def _found(text: str, column: int, alphabet: str) -> str:
    letter = text[column]
    meaning = (_AMINO_ACIDS if "W" in alphabet else _BASES).get(letter)
    hint = f" ({meaning})" if meaning else ""
    return f"column {column + 1}{' (the last)' * (column == len(text) - 1)}: found {letter!r}{hint}"


def _bytes(texts: Sequence[str]) -> np.ndarray:
    """(n, longest) uint8, padded with 0; a letter beyond ASCII is a question mark."""
    rows = np.array([text.encode("ascii", "replace") for text in texts])
    return rows.view(np.uint8).reshape(len(texts), -1)


def to_text(x: Int64[Tensor, "n length"], alphabet: str, mask: Bool[Tensor, "n length"] | None = None) -> list[str]:
    """The letters of each record, without those that the mask calls padding; gaps are kept.

    Args:
        x: letters of the sequences, (n, length).
        alphabet: the letters, in the order of the categories.
    """
    letters = np.frombuffer(alphabet.encode(), dtype=np.uint8)[x.numpy(force=True)]
    kept = np.ones_like(letters, dtype=bool) if mask is None else mask.numpy(force=True)
    return [row[keep].tobytes().decode() for row, keep in zip(letters, kept, strict=True)]


def emit(model: Path, n: int, seed: int = 0, profile: bool = False) -> list[str]:
    """n fresh aligned records of an Infernal covariance model, in its consensus columns; they can repeat.

    profile: of the profile hidden Markov model inside of it, which knows every column and no pairs.

    Args:
        seed: of all random numbers.
    """
    if not shutil.which("cmemit"):
        raise InputError("cmemit not found: install Infernal (apt install infernal; conda: bioconda::infernal)")
    command = ["cmemit", "-a", "--outformat", "A2M", "-N", str(n), "--seed", str(seed + 1)]  # its seed 0 is the clock
    command += ["--hmmonly"] if profile else []
    done = subprocess.run([*command, str(model)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{model}: cmemit failed: {(done.stderr or done.stdout).strip()}")
    return [without_insertions("".join(entry.split("\n")[1:])) for entry in done.stdout.split(">")[1:]]


def in_two_orders(part: Arrays) -> Arrays:
    """Every record from the left, and once more with its second half first."""
    assert isinstance(part.x, Tensor)
    n, length = part.x.shape
    condition = {name: value.repeat(2) for name, value in part.condition.items()}
    start = torch.tensor([0, length // 2]).repeat_interleave(n)
    return Arrays(part.x.repeat(2, 1), {**condition, "start": start}, part.metadata)

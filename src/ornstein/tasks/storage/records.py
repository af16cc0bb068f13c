"""What a manifest says of samples, as JSON: its schema, and what was measured about exactness as the object it was."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import NUMBER, Within, require
from ...mcmc.report import MCMCReport
from ...sampling.diagnostics import Exactness

_EXACTNESS = {
    "method": str,
    "particles": int,
    "ess": [(*NUMBER, None)],
    "resampled": int,
    "families": int,
    "log_evidence": (*NUMBER, None),
    "error": (*NUMBER, None),
    "missing?": (*NUMBER, None),
}
_REPORT = {
    "method": str,
    **dict.fromkeys(("proposals", "gradients", "values", "divergences?"), int),
    **dict.fromkeys(("ess", "k_hat", "acceptance", "drift", "r_hat", "log_evidence", "error"), (*NUMBER, None)),
    **dict.fromkeys(("jumps", "check", "check_error"), (float, None)),
    **dict.fromkeys(
        ("uncovered?", "low?", "high?", "missing?", "tolerance?", "families?", "sources?"), (*NUMBER, None)
    ),
    "budget?": (str, None),
    "concerns": [str],
    "notes": [str],
}
RECORD = {
    "settings": {"first?": Within(int, 0, 10**15)},
    "n": Within(int, 1, 10**9),
    "nfe": float,
    "gradients?": float,
    "seconds": float,
    "exactness?": dict,
    "family?": [Within(int, 0, 10**9)],
    "each?": {str: list},
    "notes?": [str],
}
"""What `Samples.record` says, but for the model."""


def require_one_each(record: Mapping[str, Any], path: Path) -> None:
    """InputError unless a record says of each sample what it says of one.

    Args:
        path: of the file that it stands in.
    """
    for name, values in {"family": record.get("family"), **(record.get("each") or {})}.items():
        if values is not None and len(values) != record["n"]:
            raise InputError(f"{path}: field {name} has {len(values)} values, expected one for each of n samples")


def exactness_of(record: Mapping[str, Any] | None, where: object = "exactness") -> Exactness | MCMCReport | None:
    """What was measured about exactness, as the object that it was; InputError if it is none.

    Args:
        where: the record stands, for the error.
    """
    if record is None:
        return None
    kind, schema = (MCMCReport, _REPORT) if "k_hat" in record else (Exactness, _EXACTNESS)
    require(record, schema, f"{where}: field exactness")
    if kind is Exactness and not record["ess"]:
        raise InputError(f"{where}: field exactness: field ess is empty, expected one number a step")
    return kind.from_record(record)


def numbers_of(manifest: Mapping[str, Any]) -> range:
    """The numbers of the samples of a finished folder.

    Args:
        manifest: as `read_manifest` gives it.
    """
    first = manifest["settings"].get("first", 0)
    return range(first, first + manifest["n"])

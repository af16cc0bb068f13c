"""A large folder of samples made cheaply: those of a small one again and again, each with a little noise of its own.

    python benchmarks/repeated.py SMALL OUT --cases 40 --members 500

What `ornstein evaluate OUT` holds in memory is then measured by /usr/bin/time -v. SMALL is of weather, of scans or of
poisson; a case is a time or a slice, and poisson has one.
"""

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ornstein.domains.poisson.results.drawn import NPZ
from ornstein.files import sha256, write_json
from ornstein.tasks.registry import task
from ornstein.tasks.samples import MANIFEST, Samples, read_samples
from ornstein.tasks.task import SCRATCH

NOISE, AT_ONCE = 0.1, 100
"""Of the noise the standard deviation, in that of the samples; samples that are made at once."""


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("small", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--members", type=int, required=True)
    said = parser.parse_args()
    small = read_samples(said.small)
    assert small.origin is not None
    said.out.mkdir()
    large = replace(small, settings=settings_of(small, said.cases, said.members))
    n = said.cases * said.members
    if small.origin.domain == "poisson":
        _write_fields(large, said.small / NPZ, said.out / NPZ, n)
    else:
        _write_members(large, said.out, n, said.members)
    _seal(large, said.small / MANIFEST, said.out, n, said.members)


def settings_of(small: Samples, cases: int, members: int) -> dict[str, Any]:
    """Those of so many cases."""
    settings: dict[str, Any] = json.loads(json.dumps(small.settings, default=str))
    if "ensemble" in settings:
        times = settings["ensemble"]["times"]["values"]
        later = [times[k % len(times)] + 10_000 * (k // len(times)) for k in range(cases)]
        settings["ensemble"] |= {"members": members, "times": {**settings["ensemble"]["times"], "values": later}}
    if "scan" in settings:
        settings = {**settings, "each": members, "kspace": None}  # which has other slices
        settings["scan"]["slices"] = [0, cases, 1]
    return settings


def repeated(small: Samples, first: int, count: int, members: int) -> Samples:
    """Samples from a number on: each of the case that its own is of, modulo those that there are."""
    each = small.each.get("case") or small.each.get("slice") or [0] * len(small)
    numbers = sorted(set(each))
    rows = []
    for number in range(first, first + count):
        of_case = [row for row, one in enumerate(each) if one == numbers[(number // members) % len(numbers)]]
        rows.append(of_case[number % len(of_case)])
    x = small.x[rows]
    x = x + NOISE * x.std() * torch.randn(x.shape, generator=torch.Generator().manual_seed(first))
    condition = {name: value[rows] for name, value in small.condition.items()}
    return replace(small, x=x, condition=condition, each={}, settings={**small.settings, "first": first})


def _write_members(small: Samples, out: Path, n: int, members: int) -> None:
    assert small.origin is not None
    store = task(small.origin.domain).store(out, small.origin, range(n))
    assert store is not None
    store.scratch = out / SCRATCH
    for first in range(0, n, AT_ONCE):
        store.add(repeated(small, first, min(AT_ONCE, n - first), members))
    store.finish(small)
    shutil.rmtree(store.scratch)


def _write_fields(small: Samples, path: Path, out: Path, n: int) -> None:
    """What is read of samples.npz: the fields, and what all samples were given."""
    with np.load(path) as arrays:
        shared = {name: arrays[name] for name in small.condition}
    parts = (repeated(small, first, min(AT_ONCE, n - first), n).x for first in range(0, n, AT_ONCE))
    np.savez(out, field=np.concatenate([part.numpy() for part in parts]), **shared)


def _seal(large: Samples, manifest: Path, out: Path, n: int, members: int) -> None:
    said: dict[str, Any] = json.loads(manifest.read_text())
    each: Mapping[str, Any] = {name: [k // members for k in range(n)] for name in said.get("each") or {}}
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    named = {str(path.relative_to(out)): sha256(path) for path in files}
    write_json(out / MANIFEST, {**said, "n": n, "settings": dict(large.settings), "each": each, "files": named})


if __name__ == "__main__":
    main()

"""Files that are almost right: read, or refused with InputError, and nothing else."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ornstein as on
from folders import run, saved
from fuzz import json_bytes, json_mutations, mutations, require_clean
from ornstein.config import TrainConfig, read_toml, to_toml, update
from ornstein.tasks.figures import Metric
from ornstein.tasks.registry import task
from ornstein.tasks.samples import read_samples
from ornstein.tasks.scores import append_metrics, latest_metrics
from ornstein.training.metrics import read_metrics

Reader = tuple[Callable[[Any], object], Callable[[int], Iterator[Any]]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def manifests(place: Path, domain: str) -> Reader:
    """A manifest: read, and what is said of the samples."""
    folder = saved(place / domain, domain, 3)
    path = folder / "manifest.json"
    good = json.loads(path.read_text())

    def read(data: bytes) -> None:
        path.write_bytes(data)
        samples = read_samples(folder)
        assert repr(samples).isprintable()
        assert len(samples) == 3

    return read, lambda n: json_bytes(good, n, 0)


def headers(place: Path, domain: str) -> Reader:
    """The JSON in a model's file."""
    path = run(place / f"run-{domain}", domain) / "model.safetensors"
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8:end])
    good = json.loads(head["__metadata__"]["ornstein"])

    def read(header: Any) -> None:
        changed = json.dumps({**head, "__metadata__": {"ornstein": json.dumps(header)}}).encode()
        path.write_bytes(len(changed).to_bytes(8, "little") + changed + whole[end:])
        on.load(path)

    return read, lambda n: json_mutations(good, n, 1)


def files(place: Path, domain: str) -> Reader:
    """The bytes of a model's file."""
    path = run(place / f"bytes-{domain}", domain) / "model.safetensors"
    good = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        on.load(path)

    return read, lambda n: mutations(good, n, 2)


def scores(place: Path, _: str) -> Reader:
    folder = place / "scores"
    folder.mkdir()
    append_metrics(folder, [Metric("a", 1.0, "higher", "x", 2.0), Metric("b", float("nan"), "lower", "y")])
    good = json.loads((folder / "scores.json").read_text())

    def read(data: bytes) -> None:
        (folder / "scores.json").write_bytes(data)
        for metric in latest_metrics(folder):
            f"{metric.value:.4g} {metric.reference or 0:.4g}"

    return read, lambda n: json_bytes(good, n, 3)


def metrics(place: Path, _: str) -> Reader:
    path = place / "metrics.jsonl"
    rows = [{"step": k, "loss": 1.0 / k, "learning_rate": 1e-3} for k in range(1, 5)] + [
        {"step": 5, "loss": 0.1, "validation": float("nan")}
    ]
    good = "".join(f"{json.dumps(row)}\n" for row in rows).encode()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for row in read_metrics(path):
            " ".join(f"{value:.5g}" for value in row.values())

    return read, lambda n: mutations(good, n, 4)


def toml(place: Path, _: str) -> Reader:
    path = place / "c.toml"
    good = to_toml(TrainConfig()).encode()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        update(TrainConfig(), read_toml(path), str(path))

    return read, lambda n: mutations(good, n, 5)


def arrays(place: Path, _: str) -> Reader:
    """samples.npz, whose hash the manifest knows."""
    folder = saved(place / "arrays", "energies", 3)
    path, manifest = folder / "samples.npz", json.loads((folder / "manifest.json").read_text())
    good = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        task("energies").read(folder, manifest)

    return read, lambda n: mutations(good, n, 6)


READERS = {
    "manifest of energies": (manifests, "energies"),
    "manifest of images": (manifests, "images"),
    "manifest of sequences": (manifests, "sequences"),
    "header of energies": (headers, "energies"),
    "header of images": (headers, "images"),
    "header of sequences": (headers, "sequences"),
    "file of energies": (files, "energies"),
    "scores": (scores, ""),
    "metrics": (metrics, ""),
    "toml": (toml, ""),
    "arrays": (arrays, ""),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_read_is_right_or_refused(place: Path, name: str) -> None:
    require_read(place, name, 200)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*READERS, "manifest of molecules", "header of molecules"])
def test_what_is_read_is_right_or_refused_at_length(tmp_path: Path, name: str) -> None:
    require_read(tmp_path, name, 10_000 if "molecules" not in name else 1000)


def require_read(place: Path, name: str, n: int) -> None:
    """n files that are almost right are read or refused, some of them each."""
    kinds = {"manifest": manifests, "header": headers}
    make, domain = READERS[name] if name in READERS else (kinds[name.split()[0]], name.split()[-1])
    read, changed = make(place, domain)
    accepted, refused = require_clean(read, changed(n))
    assert accepted
    assert refused > n / 10

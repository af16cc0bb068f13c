"""Libraries of samples of an energy: written block by block in any order, and judged part by part, as all at once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from folders import origin
from ornstein import InputError
from ornstein.domains.energies import metrics
from ornstein.domains.energies.data import System, many_well32, systems
from ornstein.domains.energies.judging import EnergyJudge, judged
from ornstein.domains.energies.stored import EnergyStore
from ornstein.domains.energies.task import Energies
from ornstein.keys import Keys
from ornstein.mcmc.report import MCMCReport
from ornstein.tasks import evaluating
from ornstein.tasks.figures import Metric
from ornstein.tasks.judging import scored
from ornstein.tasks.samples import Samples, read_manifest, read_samples
from ornstein.tasks.storage import reading
from ornstein.tasks.storage.packing import without_numbers
from worlds import rejected

N = 60


def library(name: str = "gmm-40", n: int = N) -> Samples:
    """Particles, or exact draws of other systems."""
    found = systems[name]()
    wide = found.space().project(2 * Keys.of(3, n).normal(*found.shape).float())
    return Samples(wide if found.draw is None else found.draw(Keys.of(3, n)), {}, origin("energies", system=name))


def parts(samples: Samples, size: int) -> Iterator[Samples]:
    return (samples[k : k + size] for k in range(0, len(samples), size))


def same(found: list[Metric], expected: list[Metric]) -> None:
    assert [one.name for one in found] == [one.name for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.meaning == other.meaning
        for number in ("value", "reference", "error"):
            ours, theirs = getattr(one, number), getattr(other, number)
            assert ours == theirs or ours == pytest.approx(theirs, rel=1e-12)


CASES: dict[str, tuple[System, Samples]] = {
    "a mixture": (systems["gmm-40"](), library()),
    "particles": (systems["dw-4"](), library("dw-4")),
    "families": (systems["gmm-40"](), replace(library(), genealogy=torch.arange(N) // 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_parts_are_judged_as_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "COMPARED", 40)  # which the first parts do not hold
    system, samples = CASES[name]

    def of(*pieces: Samples) -> list[Metric]:
        return scored(EnergyJudge(system), N, lambda: iter(()), pieces)

    whole = judged(samples, system)
    for size in (1, 7, 45):
        same(of(*parts(samples, size)), whole)
    *most, last = parts(samples, 7)
    rejected(same, of(*most), whole)  # a part is forgotten
    rejected(same, of(last, *most, last), whole)


def test_independent_copies_are_counted_one_by_one() -> None:
    system, samples = many_well32(), library("many-well-32")
    assert system.group is not None
    assert system.shares is not None
    (found,) = metrics.shares(metrics.counted(system.group(samples.x), 2), system)
    assert found.value == pytest.approx(metrics.total_variation(system.group(samples.x), system.shares))
    assert {one.name: one.value for one in judged(samples, system)}["shares of modes"] == found.value


def test_a_distance_says_of_how_many_samples_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "COMPARED", 40)
    few, many = (judged(library(n=n), systems["gmm-40"]())[-1] for n in (40, 41))
    assert "distance of 40 samples" in few.meaning
    assert "distance of the first 40 of 41 samples" in many.meaning


def test_what_a_correction_said_is_scored() -> None:
    """Its samples are worth fewer independent ones, so that errors are larger."""
    numbers = dict.fromkeys(("proposals", "gradients", "values"), 1) | {"log_evidence": 0.5, "sources": 15.0}
    names = ("ess", "k_hat", "uncovered", "acceptance", "drift", "r_hat", "error", "low", "high")
    numbers |= dict.fromkeys((*names, "missing", "tolerance", "families"), 0.1)
    said: dict[str, Any] = {"method": "test", "jumps": None, "check": None, "check_error": None, **numbers}
    told = replace(library(), exactness=MCMCReport(**said))
    plain, worth = judged(library(), systems["gmm-40"]()), judged(told, systems["gmm-40"]())
    assert plain[0].error is not None
    assert worth[0].error == pytest.approx(2 * plain[0].error)
    assert (worth[-1].name, worth[-1].value, worth[-1].reference) == ("log Z", 0.5, 0.0)


def test_a_folder_is_judged_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = library().save(tmp_path / "library")
    whole = Energies().evaluate(read_samples(folder))
    monkeypatch.setattr(reading, "PART", 8 * 7)
    assert len(list(reading.parts(folder))) == 9
    monkeypatch.setattr(reading.Folder, "require_room", lambda *_: pytest.fail("all of them are not needed"))
    same(evaluating.evaluate(folder), whole)


# Files --------------------------------------------------------------------------------------------------


def test_blocks_in_any_order_are_the_files_of_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_ROWS", 25)
    samples = library()
    saved = samples.save(tmp_path / "whole")
    assert samples.origin is not None
    store = EnergyStore(tmp_path / "library", samples.origin, range(N))
    store.scratch = tmp_path / "scratch"
    for block in (slice(40, 60), slice(0, 7), slice(7, 40)):
        store.add(samples[block])
    store.finish(without_numbers(samples))
    written = {path.name: path.read_bytes() for path in (tmp_path / "library").iterdir()}
    assert written == {path.name: path.read_bytes() for path in saved.iterdir() if path.name != "manifest.json"}
    with np.load(saved / "samples.npz") as arrays:
        assert torch.from_numpy(arrays["x"]).equal(samples.x)
        energy = systems["gmm-40"]().energy(samples.x.double())
        assert arrays["energy"] == pytest.approx(energy.numpy(), rel=1e-12)


def test_samples_come_back_part_by_part(tmp_path: Path) -> None:
    samples = replace(library(), settings={"first": 300})
    folder = samples.save(tmp_path / "library")
    manifest = read_manifest(folder)
    back = [torch.as_tensor(x) for x, _ in Energies().parts(folder, manifest, 25)]
    assert [len(x) for x in back] == [25, 25, 10]
    assert torch.cat(back).equal(samples.x)
    with pytest.raises(InputError, match=r"'x' has the shape \(60, 2\), expected \(61, 2\)"):
        Energies().read(folder, {**manifest, "n": 61})
    np.savez(folder / "samples.npz", x=np.full((N, 2), np.nan, "f4"))
    with pytest.raises(InputError, match="'x' holds numbers that are not finite"):
        Energies().read(folder, manifest)

"""Samples as they finish: a crash leaves whole samples, and the rest is drawn as if nothing had happened."""

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ornstein as on
from folders import manifest
from killing import killed
from ornstein import files
from ornstein.cli import main
from ornstein.disk.locks import Lock
from ornstein.domains.energies import metrics
from ornstein.domains.energies.stored import EnergyStore
from ornstein.domains.energies.task import Energies, EnergiesRequest
from ornstein.domains.images.task import Images
from ornstein.errors import InputError, SamplingError
from ornstein.events import Event, finished
from ornstein.files import LISTING, read_json
from ornstein.guidance.factors import Energy
from ornstein.tasks import drawing
from ornstein.tasks.native.blocks import BlockStore
from ornstein.tasks.native.members import MemberStore
from ornstein.tasks.requests import draw
from ornstein.tasks.requests import drawing as stream_of
from ornstein.tasks.samples import Samples, read_samples
from ornstein.tasks.storage import keeping, shelves
from ornstein.tasks.storage.identity import _digest, digest_of, identity, require_same
from ornstein.tasks.storage.packing import pack, unpack
from ornstein.tasks.storage.shelves import Shelf
from ornstein.tasks.storage.unfinished import MOST, counted, is_unfinished, part_of, read_members
from ornstein.tasks.task import Request

ASKED = EnergiesRequest()
SMALL: dict[str, Any] = {"n": 5, "first": 1, "steps": 2, "batch_size": 2}
"""Samples 1 to 5 in blocks of two, of which the first is cut: 1, 2 and 3, 4 and 5."""


@pytest.fixture(scope="module")
def model() -> Any:
    return on.load("energies/gmm-40")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is written as it finishes, however quick; no figures, which take longer than the samples."""
    monkeypatch.setattr(keeping, "SHARE", float("inf"))
    monkeypatch.setattr(metrics, "figures", lambda first, energies, system: [])


@pytest.mark.parametrize(
    ("flushes", "counts"),
    [((1, 20, 32), {3, 5}), pytest.param(range(1, 35), {1, 3, 5}, marks=pytest.mark.slow)],
)
def test_a_draw_that_is_killed_anywhere_leaves_whole_samples_and_goes_on(
    flushes: Sequence[int], counts: set[int], model: Any, tmp_path: Path
) -> None:
    whole = draw(model, ASKED, **SMALL, out=tmp_path / "whole")
    found = set()
    for k in flushes:
        out = tmp_path / f"out-{k}"
        assert killed(lambda out=out: draw(model, ASKED, **SMALL, out=out), k)
        part = part_of(out)
        begun = (part / "members.json").exists()
        if begun and not out.exists() and read_members(part)["blocks"]:
            there = read_samples(out, unfinished=True)
            found.add(len(there))
            assert f"unfinished: {len(there)} of 5 samples are whole" in there.notes[-1]
            assert there.x.equal(whole.x[: len(there)])
        if not out.exists():
            again = draw(model, ASKED, **SMALL, out=out, resume=begun)
            assert again.x.equal(whole.x)
        assert manifest(out) == manifest(tmp_path / "whole")
        assert not part.exists() or out.exists()
    assert found == counts


def test_the_samples_of_another_seed_are_not_these(model: Any, tmp_path: Path) -> None:
    one, other = (draw(model, ASKED, **SMALL, seed=seed, out=tmp_path / str(seed)) for seed in (0, 1))
    assert not one.x.equal(other.x)
    assert manifest(tmp_path / "0") != manifest(tmp_path / "1")


def cut_off(model: Any, out: Path, monkeypatch: pytest.MonkeyPatch, blocks: int = 2, **changes: Any) -> None:
    """A draw whose disk is full after so many blocks."""
    packed, written = shelves.pack, []

    def full(path: Path, samples: Samples, more: Any) -> None:
        if len(written) == blocks:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        packed(path, samples, more)

    with monkeypatch.context() as patch:
        patch.setattr(shelves, "pack", full)
        with pytest.raises(OSError, match="No space left on device") as error:
            draw(model, ASKED, **{**SMALL, **changes}, out=out)
    assert error.value.filename == str(out)
    assert error.value.__notes__ == [
        f"3 of 5 samples are whole (1 to 3) in {out}.part; the same command with --resume goes on"
    ]


def test_a_full_disk_loses_nothing_that_was_drawn(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    cut_off(model, out, monkeypatch)
    whole = draw(model, ASKED, **SMALL)
    drawn: list[Event] = []
    again = finished(stream_of(model, ASKED, **SMALL, out=out, resume=True), drawn.append)
    assert [(event.finished.first, len(event.finished)) for event in drawn if event.finished is not None] == [(4, 2)]
    assert [event.done for event in drawn] == [2, 4, 5, 6, 6]
    assert drawn[-1].result is again
    assert again.x.equal(whole.x)
    assert read_samples(out).x.equal(whole.x)
    assert not part_of(out).exists()


CHANGES: dict[str, dict[str, Any]] = {
    r"seed = 0, asked for is 1": {"seed": 1},
    r"n = 5, asked for is 6": {"n": 6},
    r"first = 1, asked for is 0": {"first": 0},
    r"steps = 2, asked for is 3": {"steps": 3},
    r"batch_size = 2, asked for is 3": {"batch_size": 3},
    r"eta = None, asked for is 0.5": {"eta": 0.5},
    r"exact = 'off', asked for is 'mcmc'": {"exact": "mcmc", "batch_size": None},
}


def test_only_the_same_draw_goes_on(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    cut_off(model, out, monkeypatch)
    for said, change in CHANGES.items():
        with pytest.raises(InputError, match=rf"out.part: drawn with {said}"):
            draw(model, ASKED, **{**SMALL, **change}, out=out, resume=True)
    other = replace(model, traits=replace(model.traits, origin=replace(model.origin, weights="0" * 64)))
    with pytest.raises(InputError, match="drawn with weights = "):
        draw(other, ASKED, **SMALL, out=out, resume=True)
    monkeypatch.setattr("ornstein.tasks.storage.identity.versions", lambda: {"torch": "1.0"})
    with pytest.raises(InputError, match=r"drawn with torch = .*, asked for is '1.0'"):
        draw(model, ASKED, **SMALL, out=out, resume=True)
    assert counted(read_members(part_of(out))) == "3 of 5 samples are whole (1 to 3)"  # which no refusal changes


def test_guides_may_hold_sparse_matrices(model: Any) -> None:
    """Such as where sensors are: the same if their numbers are."""
    dense = torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]])
    identities = [
        identity(model, ASKED, Request(start=matrix), {})["what was read of the request"]
        for matrix in (dense.to_sparse_csr(), dense.to_sparse_csr(), (2 * dense).to_sparse_csr(), dense.to_sparse().T)
    ]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


def test_every_folder_has_a_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    for folder in (".", "..", "/", "", "x", "x.part", "x/.."):
        assert part_of(Path(folder)).name.endswith(".part")
        assert not is_unfinished(Path(folder))
    assert part_of(Path()) == tmp_path / "a.part"


@dataclass(frozen=True)
class _Asked:
    observation: str | Path


def test_a_manifest_of_a_million_files_is_read(model: Any, tmp_path: Path) -> None:
    """Longer than 64 MB, and of what is not finished, too; what could not be read is refused before it is drawn."""
    stream = stream_of(model, ASKED, 4, steps=1, batch_size=2, out=tmp_path / "out")
    next(event for event in stream if event.finished)
    stream.close()
    members, manifest = part_of(tmp_path / "out") / "members.json", tmp_path / "out" / "manifest.json"
    lengthen(members)
    drawn = digest_of(read_members(members.parent)["drawn"])
    Shelf(members.parent, model.origin, range(4), drawn).require_seen()
    draw(model, ASKED, 4, steps=1, batch_size=2, out=tmp_path / "out", resume=True)
    lengthen(manifest)
    assert len(read_samples(manifest.parent)) == 4
    assert MOST * 300 < LISTING, "bytes of a file's name, its digest, and what is said of its sample"
    for numbers in (range(MOST + 1), range(10**15 - 1, 10**15 + 1)):
        with pytest.raises(InputError, match="draw them in several runs, with --first"):
            draw(model, ASKED, len(numbers), first=numbers.start, out=tmp_path / "a", steps=1)
    assert not (tmp_path / "a").exists()


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b" " * 64_000_000)


def test_a_file_or_a_number_of_the_request_that_changed_is_named(model: Any, tmp_path: Path) -> None:
    seen = tmp_path / "seen.txt"
    seen.write_text("a")

    def drawn(**changes: Any) -> dict[str, Any]:
        request = Request(condition={"label": torch.tensor([1.0])}, each={"labels": [1]})
        return identity(model, _Asked(str(seen)), replace(request, **changes), {"seed": 0})

    before = drawn()
    require_same(before, drawn(), "here")
    seen.write_text("b")
    with pytest.raises(InputError, match=r"here: drawn with file /.*seen.txt = "):
        require_same(before, drawn(), "here")
    seen.write_text("a")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "0").write_text("a")
    folder = identity(model, _Asked(tmp_path / "store"), Request(), {})
    (tmp_path / "store" / "1").write_text("")
    with pytest.raises(InputError, match=r"drawn with file /.*store = "):
        require_same(folder, identity(model, _Asked(tmp_path / "store"), Request(), {}), "here")
    with pytest.raises(InputError, match="drawn with condition 'label' = "):
        require_same(before, drawn(condition={"label": torch.tensor([2.0])}), "here")
    with pytest.raises(InputError, match="drawn with what was read of the request = "):
        require_same(before, drawn(start=torch.zeros(1, 2)), "here")
    one, other = (Energy(lambda x: x.sum(1), torch.tensor(weight)) for weight in (1.0, 2.0))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="drawn with guides = "):
        require_same(drawn(guides=[one]), drawn(guides=[other]), "here")


# Folders ----------------------------------------------------------------------------------------------


def test_one_process_at_a_time(model: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stream = stream_of(model, ASKED, **SMALL, out=out)
    next(stream)
    for resume in (False, True):
        with pytest.raises(InputError, match=r"out.part: another drawing is at work in this folder"):
            draw(model, ASKED, **SMALL, out=out, resume=resume)
    stream.close()  # before a block was finished
    assert not list(tmp_path.iterdir())
    assert len(draw(model, ASKED, **SMALL, out=out)) == 5


def test_folders_that_are_not_free(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(out: str, match: str, **more: Any) -> None:
        with pytest.raises(InputError, match=match):
            draw(model, ASKED, **SMALL, out=tmp_path / out, **more)

    (tmp_path / "mine").mkdir()
    refused("mine", "mine: exists already")
    refused("mine", "mine: is there already, and whole: nothing is left to resume", resume=True)
    (tmp_path / "other.part").mkdir()
    (tmp_path / "other.part" / "letter.txt").write_text("dear")
    refused("other", "other.part: exists already, with something else in it")
    assert (tmp_path / "other.part" / "letter.txt").read_text() == "dear"
    refused("x.part", "names that end in .part are those of unfinished samples")
    refused("new", "new: nothing to resume, there is no .*new.part/members.json", resume=True)
    cut_off(model, tmp_path / "out", monkeypatch)
    refused("out", r"begun already, 3 of 5 samples are whole \(1 to 3\) in .*out.part; --resume")
    with pytest.raises(InputError, match="resume is for samples that are drawn into a folder"):
        draw(model, ASKED, **SMALL, resume=True)


def test_what_is_not_finished_is_told_and_read(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "out"
    cut_off(model, out, monkeypatch)
    told = r"not finished, 3 of 5 samples are whole \(1 to 3\) in .*out.part: --resume"
    for folder in (out, part_of(out)):
        with pytest.raises(InputError, match=told):
            read_samples(folder)
    there = read_samples(out, unfinished=True)
    assert there.x.equal(draw(model, ASKED, **SMALL).x[:3])
    assert (there.first, len(there)) == (1, 3)
    assert "unfinished: 3 of 5 samples are whole" in there.verdict
    for command in ("evaluate", "trust"):
        assert main([command, str(out)]) == 2
        assert "3 of 5 samples are whole (1 to 3)" in capsys.readouterr().err
    assert main(["merge", str(out), str(part_of(out)), "--out", str(tmp_path / "m")]) == 2
    assert "3 of 5 samples are whole (1 to 3)" in capsys.readouterr().err
    assert main(["show", str(out)]) == 0
    assert "3 of 5 samples are whole" in capsys.readouterr().out


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["sample", "energies/gmm-40", "--steps", "2", "--n", "5", "--batch-size", "2", "--out"]
    assert main([*command, "whole"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(EnergyStore, "write", fails)
        assert main([*command, "out"]) == 2
    assert "5 of 5 samples are whole (0 to 4) in out.part; the same command with --resume goes on" in (
        capsys.readouterr().err
    )
    assert main([*command, "out"]) == 2
    assert main([*command, "out", "--seed", "1", "--resume"]) == 2
    assert "drawn with seed = 0, asked for is 1" in capsys.readouterr().err
    monkeypatch.setattr(drawing, "_batch", fails)  # nothing is left to draw
    assert main([*command, "out", "--resume"]) == 0
    assert manifest(Path("out")) == manifest(Path("whole"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def fails(*_: Any, **__: Any) -> Any:
    raise InputError("cannot be done")


# What is kept -----------------------------------------------------------------------------------------


def test_a_population_is_kept_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = on.load("images/digits"), Images.request_type()
    how: dict[str, Any] = {"n": 3, "steps": 2, "exact": "particles", "particles": 4}
    monkeypatch.setattr(Images, "figures", lambda self, samples: [])
    whole = draw(model, asked, **how, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(BlockStore, "finish", fails)
        with pytest.raises(InputError, match="cannot be done"):
            draw(model, asked, **how, out=tmp_path / "out")
    there = read_samples(tmp_path / "out", unfinished=True)
    assert there.x.equal(whole.x)
    assert there.exactness == whole.exactness
    assert killed(lambda: draw(model, asked, **how, out=tmp_path / "none"), 3)
    with pytest.raises(InputError, match="0 of 3 samples are whole, which finish together"):
        read_samples(tmp_path / "none", unfinished=True)
    assert draw(model, asked, **how, out=tmp_path / "none", resume=True).x.equal(whole.x)
    monkeypatch.setattr(drawing, "_AT_ONCE", {})  # nothing is left to draw
    again = draw(model, asked, **how, out=tmp_path / "out", resume=True)
    assert again.x.equal(whole.x)
    assert manifest(tmp_path / "out") == manifest(tmp_path / "whole")


def test_a_file_that_changed_is_named_and_one_that_is_gone_is_drawn_again(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    cut_off(model, out, monkeypatch)
    first = part_of(out) / "00000001-1.safetensors"
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    for read in (
        lambda: read_samples(out, unfinished=True),
        lambda: draw(model, ASKED, **SMALL, out=out, resume=True),
    ):
        with pytest.raises(InputError, match=r"00000001-1.safetensors: changed since it was written; remove it"):
            read()
    first.unlink()
    assert draw(model, ASKED, **SMALL, out=out, resume=True).x.equal(draw(model, ASKED, **SMALL).x)


def test_numbers_that_are_not_finite_are_not_kept(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = drawing._batch

    def broken(job: Any, how: Any, sampler: Any, chosen: range) -> Any:
        samples = yield from batch(job, how, sampler, chosen)
        if chosen.start == 2:
            yield Event(1, 1, "sampling", None, replace(samples, x=samples.x * float("nan")))

    monkeypatch.setattr(drawing, "_batch", broken)
    with pytest.raises(SamplingError, match=r"2 of 2 samples are not finite .* they were not kept"):
        draw(model, ASKED, **{**SMALL, "first": 0, "n": 6}, out=tmp_path / "out")
    assert counted(read_members(tmp_path / "out.part")) == "4 of 6 samples are whole (0 to 3)"


STATES: dict[str, Any] = {
    "tensor": torch.randn(3, 2),
    "named": {"positions": torch.randn(3, 4, 3).double(), "atoms": torch.randint(5, (3, 4))},
    "complex": torch.randn(3, 2, dtype=torch.complex64),
    "empty": torch.zeros(3, 0),
}


def test_nothing_of_a_drawing_that_named_no_sample_is_left_in_another(model: Any, tmp_path: Path) -> None:
    kept = keeping.Kept(tmp_path / "out", model.origin, range(4))
    with kept:
        kept.begin({"seed": 0})
        said = (kept.part / "members.json").read_text()
    (kept.part / "native/out").mkdir(parents=True)
    for name in ("00000000-2.safetensors", "native/out/00000009.png"):
        (kept.part / name).touch()
    (kept.part / "members.json").write_text(said)  # killed before it could name them
    with kept:
        kept.begin({"seed": 1})
        assert [path.name for path in kept.part.rglob("*") if path.is_file()] == ["members.json"]


@pytest.mark.parametrize("name", STATES)
def test_a_block_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    x = STATES[name]
    given = {"mask": torch.tensor([[True], [False], [True]])}
    samples = Samples(x, given, None, [x, x], 2.5, 0.25, {"first": 7, "w": [1, 2]}, each={"a": [1, None, "b"]})
    pack(tmp_path / "block", samples)
    again = unpack(tmp_path / "block")
    before, after = (Samples(s.x, s.condition, trajectory=s.trajectory) for s in (samples, again))
    for one, other in zip(_leaves(before), _leaves(after), strict=True):
        assert one.dtype == other.dtype
        assert one.equal(other)
    assert again.record() == samples.record()


def _leaves(samples: Samples) -> list[torch.Tensor]:
    from ornstein.states import leaves

    return [leaf for state in (samples.x, samples.condition, *samples.trajectory) for leaf in leaves(state)]


def test_quick_blocks_are_written_together(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "SHARE", 1e-9)
    sizes: list[int] = []
    packed = shelves.pack
    monkeypatch.setattr(
        shelves, "pack", lambda path, samples, more: (sizes.append(len(samples)), packed(path, samples, more))
    )
    samples = draw(model, ASKED, **{**SMALL, "n": 9}, out=tmp_path / "out")
    assert sizes == [1, 8]
    monkeypatch.setattr(keeping, "MOST_HELD", 20)  # bytes: two samples may wait, no more
    sizes.clear()
    draw(model, ASKED, **{**SMALL, "n": 9}, out=tmp_path / "other")
    assert sizes == [1, 4, 4]
    assert samples.x.equal(draw(model, ASKED, **{**SMALL, "n": 9}).x)


def test_what_is_drawn_waits_for_its_unit(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemberStore, "units", range(0, 100, 5))
    sizes: list[int] = []
    packed = shelves.pack
    monkeypatch.setattr(
        shelves, "pack", lambda path, samples, more: (sizes.append(len(samples)), packed(path, samples, more))
    )

    def drawn(name: str) -> list[int]:
        sizes.clear()
        draw(model, ASKED, **{**SMALL, "n": 9, "batch_size": 1}, out=tmp_path / name)
        return [*sizes]

    assert drawn("units") == [4, 5]
    monkeypatch.setattr(keeping, "MOST_HELD", 30)  # bytes: less than a unit takes
    assert drawn("large") == [1] * 9
    monkeypatch.setattr(keeping, "MOST_HELD", 40)
    monkeypatch.setattr(keeping, "PATIENCE", -1.0)
    assert drawn("slow") == [1] * 9


def test_all_that_waits_is_counted() -> None:
    x = torch.zeros(2, 3)
    assert keeping._size(Samples(x, {"given": x}, trajectory=[x, x])) == 4 * 24


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "field n is 0, expected a whole number from 1": lambda said: said.update(n=0),
    "field blocks has samples 1 to 1, expected numbers from 4 to 5": lambda said: said["blocks"].reverse(),
    "field model is not there": lambda said: said.pop("model"),
    "names '../x', expected the name of a file in its own folder": lambda said: said["blocks"][0].update(file="../x"),
    "00000001-1.safetensors: changed since": lambda said: said["blocks"][0]["files"].clear(),
}


@pytest.mark.parametrize("message", MANIFESTS)
def test_what_somebody_else_wrote_there(
    message: str, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    cut_off(model, out, monkeypatch)
    said = read_json(part_of(out) / "members.json", "a manifest")
    MANIFESTS[message](said)
    files.write_json(part_of(out) / "members.json", said)
    with pytest.raises(InputError, match=message):
        read_samples(out, unfinished=True)


def test_a_folder_that_another_removed_is_not_worked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Lock._take

    def late(lock: Lock) -> None:
        taken(lock)
        lock.folder.rmdir()

    monkeypatch.setattr(Lock, "_take", late)
    with pytest.raises(InputError, match="another drawing is at work"), Lock(tmp_path / "x", "drawing"):
        pass


COMMANDS = {
    "images/digits": ["--steps", "20", "--n", "40", "--trajectory"],
    "sequences/riboswitch": ["--steps", "20", "--n", "40"],
    "molecules/qm9": ["--steps", "20", "--n", "20"],
    "energies/gmm-40": ["--steps", "20", "--n", "2000"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_goes_on(name: str, tmp_path: Path) -> None:
    """A process of its own, which is killed twice, whenever a block has become whole."""
    code = "import sys; from ornstein.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "sample", name, *COMMANDS[name], "--out"]
    subprocess.run([*command, "whole"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    out, more, counts = tmp_path / "out", [], [0]
    for _ in range(2):
        process = subprocess.Popen([*command, "out", *more], cwd=tmp_path, stdout=subprocess.DEVNULL)
        while process.poll() is None and whole_in(out) <= counts[-1]:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        counts.append(whole_in(out))
        more = ["--resume"]
    assert 0 < counts[1] < counts[2]
    assert not out.exists()
    subprocess.run([*command, "out", "--resume"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert manifest(out) == manifest(tmp_path / "whole")


def whole_in(out: Path) -> int:
    """How many samples are whole of a folder that is not finished."""
    part = part_of(out)
    return sum(block["n"] for block in read_members(part)["blocks"]) if (part / "members.json").is_file() else 0


def test_a_file_that_cannot_be_read_is_named_not_the_folder(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", "seen.png")

    monkeypatch.setattr(Energies, "request", unreadable)
    with pytest.raises(PermissionError) as error:
        draw(model, ASKED, **SMALL, out=tmp_path / "out")
    assert error.value.filename == "seen.png"
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_expanded_are_those_that_they_stand_for() -> None:
    one = torch.tensor(2.5, dtype=torch.float64)
    assert _digest(one.expand(1)) == _digest(one[None]) != _digest(2 * one[None])
    assert _digest(one.expand(3, 2)) == _digest(torch.full((3, 2), 2.5, dtype=torch.float64))

"""What a domain measures of a model once it is trained, and where that stands from then on."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ornstein import InputError
from ornstein.config import update
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.domains.images.task import Images
from ornstein.events import Event, Stream
from ornstein.files import NUMBER
from ornstein.tasks import runs
from ornstein.tasks.measuring import measure
from ornstein.training import checkpoints


class Measuring(Images):
    """Digits, of which something is measured after the training, and kept."""

    facts = {**Images.facts, "widened?": {"factor": NUMBER}}  # noqa: RUF012
    value: Any = 1.25

    def trained(
        self, denoiser: NeuralDenoiser, config: Any, folder: Path, say: Callable[[str], None]
    ) -> Stream[Mapping[str, Any]]:
        assert denoiser.origin is not None
        assert "widened" not in denoiser.origin.metadata
        assert denoiser.grids
        yield Event(1, 2, "measuring")
        if self.value is None:
            raise InputError("truth.nc: no such file")
        (folder / "report.json").write_text(json.dumps(self.value))
        say(f"widened by {self.value}")
        yield Event(2, 2, "measuring")
        return {"widened": {"factor": self.value}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a model in a run folder."""
    return Path(shutil.copy(runs.locate("images/digits"), tmp_path / runs.MODEL))


def test_what_was_measured_joins_the_metadata_and_nothing_else_of_the_model_changes(path: Path) -> None:
    heard: list[Any] = []
    before = checkpoints.load(path, "model")
    measure(runs.load(path), Measuring(), None, path, heard.append, heard.append)
    tensors, meta = checkpoints.load(path, "model")
    assert meta.pop("facts") == {**before[1].pop("facts"), "widened": {"factor": 1.25}}
    assert meta == before[1]
    assert all(tensors[name].equal(tensor) for name, tensor in before[0].items())
    assert [getattr(one, "done", one) for one in heard] == [1, "widened by 1.25", 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "truth.nc: no such file"),
        ("wide", "of the trained model: field widened: field factor is 'wide'"),
    ],
)
def test_a_model_that_cannot_be_measured_stays_as_it_was(path: Path, value: Any, message: str) -> None:
    this, before = Measuring(), path.read_bytes()
    this.value = value
    with pytest.raises(InputError, match=message) as refused:
        measure(runs.load(path), this, None, path)
    assert "--resume" in "".join(refused.value.__notes__)
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_training_ends_with_it_and_a_resumed_one_measures_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    this = Measuring()
    monkeypatch.setattr(runs, "task", lambda name: this)
    small = {"channels": 4, "multipliers": [1], "blocks": 1, "attention": []}
    config = update(this.config(), {"network": small, "train": {"steps": 2, "batch_size": 2, "plan": [2]}}, "test")
    for this.value, resume in ((1.25, False), (1.5, True)):  # nothing is left to train
        runs.train("images", "digits", config, tmp_path, resume)
        model = runs.load(tmp_path)
        assert model.origin is not None
        assert model.origin.metadata["widened"] == {"factor": this.value}
        assert list(model.grids) == [2]

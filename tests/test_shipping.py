"""What is shipped beside the weights: a card with how a model was made and judged."""

from pathlib import Path

import pytest

import ornstein as on
from ornstein import InputError
from ornstein.config import TrainConfig
from ornstein.domains.images.task import Images, ImagesConfig, ImagesRequest
from ornstein.networks import UNetConfig
from ornstein.report import shipping
from ornstein.tasks import runs
from ornstein.tasks.figures import Metric
from ornstein.tasks.scores import latest_metrics

LOG = [
    {"step": 100, "loss": 0.4, "validation": 0.25, "steps_per_second": 10.0},
    {"step": 200, "loss": 0.3, "validation": 0.31, "steps_per_second": 10.0},
    {"step": 300, "loss": 0.2, "steps_per_second": 5.0},
]


def test_the_table_has_errors_and_meanings() -> None:
    rows = shipping.table([Metric("R@1", 0.5, "higher", "Found first.", 0.25, "real ones", 0.01, 0.02)]).splitlines()
    assert rows[0].count("|") == rows[1].count("|") == rows[2].count("|") == 5
    assert rows[2] == "| R@1 (higher is better) | 0.5 ± 0.01 | 0.25 ± 0.02 (real ones) | Found first. |"


def test_a_loss_that_rose_again_is_said() -> None:
    found = shipping.learned(LOG, 300, 400, "a machine")
    loss = "validation loss\n0.31 at step 200 (lowest: 0.25 at step 100)"
    assert found == f"300 of 400 steps in 1.0 minutes on a machine; {loss}"
    assert shipping.learned(LOG[:1], 100, 100, "a machine").endswith("validation loss\n0.25")
    with pytest.raises(InputError, match="no row has a validation loss"):
        shipping.learned(LOG[2:], 300, 300, "a machine")


@pytest.mark.slow
def test_each_request_has_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of digits, judged as it is and on threes: both commands, both tables, and all scores in one file."""
    asked = [(ImagesRequest(), 20), (ImagesRequest(label=(3,)), 10)]
    monkeypatch.setattr(Images, "folder", tmp_path)
    monkeypatch.setattr(Images, "judged_on", lambda self, metadata: asked)
    train = TrainConfig(steps=2, batch_size=8, warmup=1, plan=(), validate_every=1)
    run = runs.train(
        "images", "small", ImagesConfig(network=UNetConfig(16, (1,), 1, ()), train=train), tmp_path / "run"
    )
    folder = shipping.ship(run.parent)
    assert folder == tmp_path / "models" / "small"
    card = (folder / "card.md").read_text()
    assert "CPU cores; validation loss" in card
    assert "`ornstein sample images/small --n 20`" in card
    assert "`ornstein sample images/small --n 10 --label 3`" in card
    assert card.count("| class agreement (higher is better) |") == 2
    assert len(latest_metrics(folder)) == 6
    assert on.load("images/small").origin is not None


def test_the_machine_is_that_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which need not be where the model is shipped from."""
    meta = {"domain": "images", "name": "small", "step": 300, "config": {"train": {"steps": 300}}, "facts": {}}
    monkeypatch.setattr(Images, "data_provenance", lambda self, metadata: "nothing")
    assert "minutes on a GPU; validation loss" in shipping.card({**meta, "machine": "a GPU"}, "", LOG, "")
    assert "minutes on a machine that its file does not name;" in shipping.card(meta, "", LOG, "")

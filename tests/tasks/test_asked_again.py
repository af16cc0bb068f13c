"""The command that a manifest's settings say asks for what was asked for, and draws the same samples."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ornstein as on
from asking import asked_again
from ornstein.config import SampleConfig
from ornstein.states import leaves
from ornstein.tasks.registry import task
from ornstein.tasks.samples import MANIFEST, read_samples

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("images/digits", {"label": (3, 5)}, {"steps": 2, "first": 5}),
    ("images/digits", {}, {"steps": 4, "restarts": 2, "restart_at": 0.4, "eta": 0.5, "order": 1, "grid": "karras"}),
    (
        "images/digits",
        {"reference": Path("seen.png"), "strength": 0.5},
        {"steps": 4, "batch_size": 1, "trajectory": True},
    ),
    ("images/digits", {"label": (1,)}, {"seed": 7, "exact": "particles", "steps": 3, "particles": 6, "temper": 0.5}),
    ("sequences/riboswitch", {"sweeps": 4}, {"steps": 3}),
    ("sequences/riboswitch", {"sweeps": 0, "reveal_order": "remask", "temperature": 0.8}, {"steps": 2}),
    ("molecules/qm9", {"atoms": 5}, {"steps": 2}),
    ("energies/gmm-40", {}, {"exact": "mcmc", "steps": 4, "moves": 2, "check": 50, "budget": "3000"}),
]


@pytest.mark.parametrize(("model", "asked", "said"), CASES)
def test_the_command_asks_for_the_same(
    model: str, asked: dict[str, Any], said: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save("seen.png")
    request = task(model.partition("/")[0]).request_type(**asked)
    drawn = on.draw(on.load(model), request, 2, **said)
    drawn.save("drawn")
    read_request, how = asked_again(model, read_samples(Path("drawn")))
    assert {name: getattr(how, name) for name in said} == said
    assert {name: getattr(read_request, name) for name in asked} == asked
    options = {name: value for name, value in vars(how).items() if value != getattr(SampleConfig(), name)}
    again = on.draw(on.load(model), read_request, **options)
    assert again.settings == drawn.settings
    assert all(a.equal(b) for a, b in zip(leaves(again.x), leaves(drawn.x), strict=True))


def test_steps_of_older_manifests_are_told_from_intervals(tmp_path: Path) -> None:
    """They called the intervals steps: those of restarts and of sweeps included."""
    saved = on.sample(on.load("images/digits"), 1, 3, restarts=1, restart_at=0.4, eta=1.0).save(tmp_path / "drawn")
    manifest = json.loads((saved / MANIFEST).read_text())
    settings = manifest["settings"]
    assert settings["steps"] < settings["intervals"]
    settings["steps"] = settings.pop("intervals")
    (saved / MANIFEST).write_text(json.dumps(manifest))
    found = read_samples(saved).settings
    assert (found["steps"], found["intervals"]) == (3, settings["steps"])

"""Every flag of every domain and engine: what is said is in the manifest and changes the samples, or it is refused."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ornstein as on
from asking import asked_again
from ornstein.config import SampleConfig
from ornstein.errors import InputError
from ornstein.files import plain
from ornstein.states import leaves
from ornstein.tasks.registry import task

MODELS = {"images/digits": 4, "sequences/riboswitch": 4, "molecules/qm9": 4, "energies/gmm-40": 20}
"""The samples drawn of each."""

SETTINGS: dict[str, Any] = {
    "steps": 3, "seed": 1, "first": 4, "eta": 0.5, "order": 1, "grid": "flow", "batch_size": 2, "particles": 50,
    "temper": 0.5, "moves": 3, "check": 60, "tolerance": 0.05, "budget": "20000", "trajectory": True, "restarts": 1,
    "restart_at": 0.2,
}  # fmt: skip
APART = {"n", "exact", "device", "threads"}  # what every run here says already, and on what it is computed
SAME = {"batch_size", "trajectory", "tolerance"}  # these change how samples are drawn or doubted, not the samples
PLAIN = {"off": {"steps": 4}, "particles": {"steps": 2, "particles": 24}, "mcmc": {"steps": 4, "moves": 2, "check": 50}}


def drawn(name: str, exact: str, asked: dict[str, Any] | None = None, **said: Any) -> on.Samples:
    model, this = on.load(name), task(name.partition("/")[0])
    options: Any = {**PLAIN[exact], **said}
    return on.draw(model, this.request_type(**(asked or {})), MODELS[name], exact=exact, **options)


def assert_used(model: str, found: on.Samples, before: on.Samples, name: str, value: Any) -> None:
    """The setting is in the manifest and in the command, and the samples are others."""
    assert found.settings[name] == value, f"{name} is not in the manifest"
    assert getattr(asked_again(model, found)[1], name) == value, f"the command says another {name}"
    if name not in SAME:
        pairs = zip(leaves(found.x), leaves(before.x), strict=True)
        assert not all(a.shape == b.shape and a.equal(b) for a, b in pairs), f"{name} changed nothing"


def test_the_table_has_every_setting() -> None:
    assert {field.name for field in fields(SampleConfig)} == SETTINGS.keys() | APART


@pytest.mark.parametrize("exact", PLAIN)
@pytest.mark.parametrize("name", MODELS)
def test_a_setting_is_used_or_refused(name: str, exact: str) -> None:
    if (exact == "mcmc") != name.startswith("energies") and exact != "off":
        with pytest.raises(InputError, match="mcmc"):  # a target is for mcmc, and mcmc for a target
            drawn(name, exact)
        return
    before, used = drawn(name, exact), 0
    for setting, value in SETTINGS.items():
        try:
            found = drawn(name, exact, **{setting: value})
        except InputError:
            continue
        if setting == "temper":
            assert found.settings["temper"] == value  # nothing is known of these samples that could be weakened
            continue
        assert_used(name, found, before, setting, value)
        used += 1
    assert used >= 5


def test_the_test_of_settings_rejects_what_is_ignored() -> None:
    before = drawn("energies/gmm-40", "off")
    for found, name in ((drawn("energies/gmm-40", "off"), "steps"), (before, "temper")):
        with pytest.raises((AssertionError, KeyError)):
            assert_used("energies/gmm-40", found, before, name, 3)


ASKED: dict[str, dict[str, tuple[Any, dict[str, Any]]]] = {
    "images/digits": {
        "prompt": (("a cat",), {}),
        "negative": ("a dog", {}),
        "label": ((3,), {}),
        "guidance": (3.0, {"label": (3,)}),
        "interval": ((0.2, 0.8), {"guidance": 3.0, "label": (3,)}),
        "way": (4, {}),
        "captions": ("held-out", {}),
        "weak_model": ("images/digits", {}),
        "autoguidance": (3.0, {}),
        "reference": ("picture.png", {}),
        "strength": (0.9, {"reference": "picture.png"}),
        "observation": ("picture.png", {}),
        "mask": ("mask.png", {"observation": "picture.png"}),
        "operator": ("blur", {"observation": "picture.png"}),
        "blur": (2.0, {"observation": "picture.png", "operator": "blur"}),
        "noise": (0.4, {"observation": "picture.png"}),
        "brightness": (1.5, {}),  # a mean that calibration takes minutes for is tested in tests/domains/images
    },
    "sequences/riboswitch": {
        "reveal_order": ("confidence", {}),
        "bound": (0.0, {}),
        "sweeps": (2, {}),
        "temperature": (0.5, {}),
        "top_p": (0.3, {}),
        "length": (20, {}),
        "family": (("x",), {}),
        "guidance": (2.0, {}),
        "fixed": ("G" * 108, {}),
        "motif": ("GGGGGG@3", {}),
        "structure": ("((((" + "." * 100 + "))))", {}),
        "fold": ("((((" + "." * 100 + "))))", {}),
        "fraction": ("GC=0.9", {}),
        "energy": ("absent.py:energy", {}),
    },
    "molecules/qm9": {
        "atoms": (9, {}),
        "formula": ("C2H6O", {}),
        "smiles": (("CCO",), {}),
        "conformers": (1, {"smiles": ("CCO", "CO")}),
        "bounds": (0.0, {"smiles": ("CCO",)}),
        "elements_of": ("water.xyz", {}),
        "properties": (("gap=5",), {}),
        "guidance": (3.0, {"properties": ("gap=5",)}),
        "guide_by": ("regressor", {"properties": ("gap=5",)}),
        "hydrogen_bond": (4.0, {}),
        "temperature_kelvin": (-1.0, {}),
        "fixed": ("water.xyz", {"atoms": 9}),
        "reference": ("water.xyz", {}),
        "strength": (0.9, {"reference": "water.xyz"}),
        "pocket": ("absent.pdb", {}),
        "ligand": ("ABC", {}),
        "centre": ((0.0, 0.0, 0.0), {}),
        "binding": (2.0, {}),
    },
}
"""A value of each flag, and what it needs beside it. A weaker model that is the model itself changes nothing."""


@pytest.mark.parametrize("name", ASKED)
def test_a_flag_is_used_or_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    levels = np.linspace(0, 255, 64).reshape(8, 8).astype(np.uint8)
    Image.fromarray(levels).save("picture.png")
    Image.fromarray(np.where(levels > 127, 255, 0).astype(np.uint8)).save("mask.png")
    Path("water.xyz").write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    this, model = task(name.partition("/")[0]), on.load(name)
    assert {field.name for field in fields(this.request_type)} == ASKED[name].keys()
    for flag, (value, beside) in ASKED[name].items():
        files = {key: Path(one) if "." in str(one) and isinstance(one, str) else one for key, one in beside.items()}
        said = Path(value) if isinstance(value, str) and value.endswith((".png", ".xyz", ".pdb")) else value
        said = Path(value) if flag == "weak_model" else said
        exact = "particles" if flag == "fold" else "off"
        more = {"steps": 40} if flag == "bound" else {}  # it bounds steps that have a choice
        try:
            found = drawn(name, exact, {**files, flag: said}, **more)
        except InputError:
            continue
        before = drawn(name, exact, files, **more)
        kept = found.settings[flag]
        assert plain(kept) == plain(said), f"{flag} is not in the manifest"
        assert getattr(asked_again(name, found)[0], flag) == said, f"the command says another {flag}"
        if flag != "weak_model":
            pairs = zip(leaves(found.x), leaves(before.x), strict=True)
            assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs), f"{flag} changed nothing"
    assert model.origin is not None


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("images/digits", {"strength": 0.5}, "--reference"),
        ("images/digits", {"autoguidance": 2.0}, "--weak-model"),
        ("images/digits", {"noise": 0.1}, "--observation"),
        ("images/digits", {"interval": (0.2, 0.8)}, "--guidance"),
        ("molecules/qm9", {"strength": 0.5}, "--reference"),
        ("molecules/qm9", {"binding": 2.0}, "--pocket"),
        ("sequences/riboswitch", {"fold": "((((" + "." * 100 + "))))"}, "particles"),
        ("sequences/riboswitch", {"bound": 0.1, "reveal_order": "confidence"}, "--reveal-order"),
    ],
)
def test_a_flag_without_what_gives_it_a_meaning_is_refused(name: str, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        drawn(name, "off", asked)

"""The public names, the domains' seam, and what a domain that is not there says."""

import ast
import shutil
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import torch

import ornstein as on
from ornstein import InputError
from ornstein.tasks import registry, runs
from ornstein.tasks.scores import latest_metrics
from ornstein.training import checkpoints


def test_every_public_name_loads_and_is_known_to_type_checkers() -> None:
    tree = ast.parse(Path(on.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == {*on.__all__, *registry.domains()}
    assert all(getattr(on, name) is not None for name in on.__all__)
    modules = {found.name for found in iter_modules(on.__path__)}
    for name in modules & set(on.__all__):  # importing a module puts it in the place of a name that it shares
        assert getattr(on, name) is import_module(f"ornstein.{name}")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = on.nonsense


def test_every_domain_has_the_five_files() -> None:
    for name in registry.domains():
        files = {path.name for path in registry.task(name).folder.glob("*.py")}
        assert files >= {"__init__.py", "data.py", "network.py", "factors.py", "metrics.py", "task.py"}


def test_every_shipped_model_has_its_papers() -> None:
    assert "images/digits" in on.shipped()
    for folder in on.shipped().values():
        names = {path.name for path in folder.iterdir()}
        assert names == {"model.safetensors", "config.toml", "scores.json", "card.md"}
        assert (folder / "model.safetensors").stat().st_size < 20e6


@pytest.mark.parametrize("content", ["{}", "[]", '[{"scores": [{"name": "x"}]}]'])
def test_damaged_scores_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(InputError, match=r"scores.json.*(value is not there|is empty| is \{\}), expected "):
        latest_metrics(tmp_path)


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (
            "ornstein",
            r"'molecules' needs 'absent', which is not installed: pip install 'ornstein\[molecules\]'$",
        ),
        ("chemists", r"'molecules' of the package 'chemists' needs 'absent', which is not installed$"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str, message: str) -> None:
    point = EntryPoint("molecules", "absent.task:Task", "ornstein.domains")
    for module in (registry, runs):
        monkeypatch.setattr(module, "domains", lambda: {"molecules": point})
    monkeypatch.setattr(registry, "package_of", lambda point: package)
    registry._task.cache_clear()
    try:
        for look_up in (registry.task, registry.package):
            with pytest.raises(InputError, match=message):
                look_up("molecules")
        assert not runs.shipped()
        assert list(registry.broken()) == ["molecules"]
    finally:
        registry._task.cache_clear()


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    return Path(shutil.copy(on.shipped()["images/digits"] / "model.safetensors", tmp_path / "copy.safetensors"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domain": None}, "field domain is null, expected text"),
        (
            {"domain": "pottery"},
            "of the domain 'pottery', which is not installed; installed: energies, images",
        ),
        ({"name": ["digits"]}, r"field name is \['digits'\], expected text"),
        ({"config": "x"}, "field config is 'x', expected an object"),
        ({"config": {"network": []}}, r"copy.safetensors: config: network is \[\], expected an object"),
        ({"config": {"nonsense": 1}}, "copy.safetensors: config: unknown key 'nonsense'"),
        ({"facts": []}, r"field facts is \[\], expected an object"),
        ({"facts": {}}, "copy.safetensors: facts: field shape is not there, expected a list"),
        ({"grids": {"five": [1.0]}}, "field grids: has a field 'five', expected a whole number as its name"),
        ({"grids": {"5": [1.0, 0.0]}}, "copy.safetensors: grid of 5 steps has 2 times, expected one more than steps"),
        ({"grids": {"1": [1.0, "0"]}}, r"copy.safetensors: field grids: field '1'\[1\] is '0', expected a number"),
        ({"grids": {"1": 3}}, "copy.safetensors: field grids: field '1' is 3, expected a list"),
    ],
)
def test_a_damaged_header_is_named(digits: Path, change: dict[str, Any], message: str) -> None:
    tensors, meta = checkpoints.load(digits, "model")
    checkpoints.save(digits, "model", tensors, {**meta, **change})
    with pytest.raises(InputError, match=message):
        on.load(digits)


def test_weights_that_are_not_finite_are_refused(digits: Path) -> None:
    tensors, meta = checkpoints.load(digits, "model")
    on.load(digits)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.nan
    checkpoints.save(digits, "model", tensors, meta)
    with pytest.raises(InputError, match=rf"copy.safetensors: tensor '{name}' is nan at"):
        on.load(digits)

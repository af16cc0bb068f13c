"""The public names, the domains' seam, and what a domain that is not there says."""

import ast
from pathlib import Path
from pkgutil import iter_modules

import pytest

import ornstein as on
from ornstein import InputError
from ornstein.tasks import registry, runs


def test_every_public_name_loads_and_is_known_to_type_checkers() -> None:
    tree = ast.parse(Path(on.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == {*on.__all__, *registry.domains()}
    assert all(getattr(on, name) is not None for name in on.__all__)
    modules = {found.name for found in iter_modules(on.__path__)}
    assert modules & set(on.__all__) == {"testing"}  # importing a module puts it in the place of a name it shares
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = on.nonsense


def test_every_domain_has_the_five_files() -> None:
    for name in registry.domains():
        files = {path.name for path in registry.task(name).folder.glob("*.py")}
        assert files >= {"__init__.py", "data.py", "network.py", "factors.py", "scores.py", "task.py"}


def test_every_shipped_model_has_its_papers() -> None:
    assert "images/digits" in on.shipped()
    for folder in on.shipped().values():
        names = {path.name for path in folder.iterdir()}
        assert names == {"model.safetensors", "config.toml", "scores.json", "card.md"}
        assert (folder / "model.safetensors").stat().st_size < 20e6


@pytest.mark.parametrize("content", ["{}", "[]", '[{"scores": [{"name": "x"}]}]'])
def test_damaged_scores_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(InputError, match=r"scores.json: not what `ornstein score` writes"):
        runs.latest_scores(tmp_path)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def load(self) -> None:
            raise ModuleNotFoundError("No module named 'rdkit'", name="rdkit")

    monkeypatch.setattr(registry, "domains", lambda: {"molecules": Point()})
    registry.task.cache_clear()
    with pytest.raises(InputError, match=r"needs 'rdkit': pip install 'ornstein\[molecules\]'"):
        registry.task("molecules")
    registry.task.cache_clear()

"""Code of the user's is run if the user names it, and is known again by its hashes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ornstein import InputError, code


@pytest.fixture(autouse=True)
def strange(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is allowed yet, and what is imported is forgotten."""
    monkeypatch.setattr(code, "_allowed", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_code_that_nobody_names_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "payload.py"
    path.write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\nx = 1\n")
    with pytest.raises(InputError, match=r"names code.*--allow-code"):
        code.run(f"{path}:x")
    assert not (tmp_path / "marker").exists()
    code.allow(f"{path}:x")
    assert code.run(f"{path}:x")[1]["x"] == 1
    assert (tmp_path / "marker").exists()


def test_words_of_a_command_name_code() -> None:
    code.allow_named(["train", "energies", "--system", "my.py:mine", "--other=dir/its.py:x", "--prompt", "a: b"])
    assert set(code._allowed) == {"my.py:mine", "dir/its.py:x"}


def test_a_file_imports_what_lies_beside_it(tmp_path: Path) -> None:
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "beside_mine.py").write_text(f"value = {value}\n")
        (tmp_path / folder / "later_mine.py").write_text("value = 5\n")
        late = "def late():\n    import later_mine\n    return later_mine.value\n"
        (tmp_path / folder / "my.py").write_text(f"import beside_mine\nx = beside_mine.value\n{late}")
        code.allow(f"{tmp_path / folder}/my.py:x")
        names = code.run(f"{tmp_path / folder}/my.py:x")[1]
        assert names["x"] == value
        assert names["late"]() == 5
        found = code.hashes_of(tmp_path / folder / "my.py")
        assert set(found) == {"my.py", "beside_mine.py", "later_mine.py"}
    assert sys.path[0] != str(tmp_path / "a")


@pytest.mark.parametrize("changed", ["my.py", "helper_of_mine.py"])
def test_code_that_changed_is_refused_with_what_changed(tmp_path: Path, changed: str) -> None:
    (tmp_path / "helper_of_mine.py").write_text("y = 1\n")
    (tmp_path / "my.py").write_text("from helper_of_mine import y\nx = y\n")
    source = f"{tmp_path}/my.py:x"
    hashes = code.hashes_of(tmp_path / "my.py")
    code.allow(source)
    assert code.run(source, hashes)[1]["x"] == 1
    with (tmp_path / changed).open("a") as file:
        file.write("x = 2\n")
    message = f"changed since the training: {changed} has SHA-256 .*, expected {hashes[changed][:12]}"
    with pytest.raises(InputError, match=message):
        code.run(source, hashes)


def test_code_that_moved_is_found_or_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text("x = 1\n")
    hashes = code.hashes_of(tmp_path / "my.py")
    code.allow("gone/my.py:x", folders=[tmp_path / "run", tmp_path])
    assert code.run("gone/my.py:x", hashes)[0] == tmp_path / "my.py"
    (tmp_path / "my.py").rename(tmp_path / "new.py")
    with pytest.raises(InputError, match=r"gone/my.py: no such Python file.*--code PATH"):
        code.run("gone/my.py:x", hashes)
    code.allow("gone/my.py:x", tmp_path / "new.py")
    assert code.run("gone/my.py:x", hashes)[0] == tmp_path / "new.py"

"""The studio's page: whole, from this package alone, and of nothing that its content security policy would refuse."""

import re
from pathlib import Path

import pytest

import ornstein.studio

STATIC = Path(ornstein.studio.__file__).parent / "static"
INDEX = (STATIC / "index.html").read_text()
SCRIPTS = sorted(STATIC.glob("*.js"))
TEXTS = [*SCRIPTS, STATIC / "index.html", STATIC / "studio.css"]
NAMESPACE = "http://www.w3.org/2000/svg"


def imported(script: Path) -> list[str]:
    """The modules that a module names."""
    return re.findall(r"""(?:from|import)\s*\(?\s*["']([^"']+)["']""", script.read_text())


def test_every_file_that_the_page_names_is_there():
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', INDEX)
    assert len(named) > 4
    missing = [name for name in named if not (STATIC / name.removeprefix("/static/")).is_file()]
    assert missing == ["/static/style.css"], "the one style sheet is that of the reports, served under this name"
    assert (STATIC.parents[1] / "report" / "style.css").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_module_that_a_module_names_is_beside_it(script: Path):
    for name in imported(script):
        assert name.startswith("./"), f"{name} is from elsewhere"
        assert (STATIC / name).is_file(), name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_module_imports_by_name_is_exported(script: Path):
    for names, source in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', script.read_text()):
        theirs = (STATIC / source).read_text()
        for name in names.split(","):
            assert re.search(rf"^export [a-z ]*\b{re.escape(name.strip())}\b", theirs, re.MULTILINE), (name, source)


def test_every_module_is_reached_from_the_page():
    reached, todo = set(), re.findall(r'src="/static/([^"]+\.js)"', INDEX)
    while todo:
        name = todo.pop()
        reached.add(name)
        todo += [one.removeprefix("./") for one in imported(STATIC / name) if one.removeprefix("./") not in reached]
    assert reached == {script.name for script in SCRIPTS}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path: Path):
    text = path.read_text().replace(NAMESPACE, "")
    assert not re.search(r"https?:|[\"'(]//|@import|@font-face|\bwss?:", text)


def test_the_page_has_no_script_or_style_of_its_own_and_no_handler():
    assert not re.search(r"<script(?![^>]*\bsrc=)", INDEX)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", INDEX)
    assert '<html lang="en">' in INDEX
    assert all("alt=" in image for image in re.findall("<img[^>]*>", INDEX))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_text_is_never_run_and_markup_only_that_of_the_domains(script: Path):
    text = script.read_text()
    assert not re.search(r"\beval\(|new Function|outerHTML|insertAdjacentHTML|document\.write|srcdoc|javascript:", text)
    assert not re.search(r"set(?:Timeout|Interval)\(\s*[\"'`]", text)
    assert re.findall(r".*innerHTML.*", text) == (
        ["  place.innerHTML = fragment;"] if script.name == "figures.js" else []
    )


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_files_are_short(path: Path):
    assert len(path.read_text().splitlines()) <= 300

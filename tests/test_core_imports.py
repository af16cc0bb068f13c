"""The core stands alone: outside of the domains, only the surface of the package knows of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ornstein"
SURFACE = ("__init__.py", "cli.py", "report", "domains")
CORE = sorted(path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in SURFACE)


def imported(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """The full names of the modules that a module of `package` imports, and of what it takes from them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def assert_independent_of_domains(source: str, package: tuple[str, ...]) -> None:
    found = [name for name in imported(source, package) if name.startswith("ornstein.domains")]
    assert not found, f"the core imports {found}"


def package_of(path: Path) -> tuple[str, ...]:
    return ("ornstein", *path.relative_to(SOURCE).parts[:-1])


def test_there_is_a_core() -> None:
    names = {path.name for path in CORE}
    assert {"states.py", "keys.py", "beliefs.py", "kernels.py", "sampler.py", "euclidean.py"} <= names


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_core_never_imports_domains(path: Path) -> None:
    assert_independent_of_domains(path.read_text(), package_of(path))


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("import ornstein.domains.images", ("ornstein",)),
        ("from ornstein.domains import images", ("ornstein",)),
        ("from ornstein import domains", ("ornstein",)),
        ("from .domains.images import task", ("ornstein",)),
        ("from . import domains", ("ornstein",)),
        ("def f():\n    from ..domains import images", ("ornstein", "spaces")),
    ],
)
def test_every_spelling_of_the_import_is_rejected(source: str, package: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="core imports"):
        assert_independent_of_domains(source, package)


# Downwards, one way -----------------------------------------------------------------------------------

WINGS = (
    "domains", "cli", "studio", "commands", "report", "tasks", "testing", "mcmc", "sampling", "guidance", "training",
    "denoisers", "spaces", "networks", "calibration", "beliefs", "spectral", "covariances", "schedules", "distributed",
)  # fmt: skip
"""From the top down; what is not named here is the ground."""


def assert_downwards(source: str, package: tuple[str, ...], wing: str) -> None:
    """What a module imports as it is loaded lies in its own wing or below."""
    outer = "\n".join(
        ast.unparse(node) for node in ast.parse(source).body if isinstance(node, ast.ImportFrom | ast.Import)
    )
    names = {name.split(".")[1] for name in imported(outer, package) if name.startswith("ornstein.")}
    above = [name for name in names if name in WINGS and WINGS.index(name) < WINGS.index(wing)]
    assert not above, f"{wing} imports {above}, which lie above it"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_run_downwards(path: Path) -> None:
    wing = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if wing in WINGS:
        assert_downwards(path.read_text(), package_of(path), wing)


def test_an_import_that_runs_upwards_is_rejected() -> None:
    for source in ("from ..tasks.samples import Samples", "import ornstein.report.page", "from .. import domains"):
        with pytest.raises(AssertionError, match="above"):
            assert_downwards(source, ("ornstein", "sampling"), "sampling")

"""All that can be drawn from: shipped models, runs of the user's own, uploads, and domains that cannot be loaded."""

from pathlib import Path
from typing import Any

from ..commands.manual import EXAMPLES
from ..errors import InputError
from ..files import SMALL
from ..files import text as text_of
from ..tasks import runs
from ..tasks.registry import broken, task
from .references import WEIGHTS, Places, domain_of


def listed(places: Places) -> dict[str, Any]:
    """Models as JSON values, by the names that requests give them; the one to begin with; and what is none, with why.

    Args:
        places: where own ones are.
    """
    names = sorted(runs.shipped().items(), key=lambda one: task(one[0].partition("/")[0]).place)  # as in the tour
    shipped = [_model(name, name.partition("/")[0], "shipped", path) for name, path in names]
    own = [_own(name, path, kind) for name, path, kind in places.own_models()]
    return {
        "models": [*shipped, *(one for one in own if "why" not in one)],
        "first": _first(dict(names)),
        "broken": [
            *({"domain": domain, "why": str(error)} for domain, error in broken().items()),
            *({"domain": one["name"], "why": one["why"]} for one in own if "why" in one),
        ],
    }


def _first(shipped: dict[str, Path]) -> str | None:
    """The model that a newcomer begins with: the smallest of the domain that the command line's help begins with."""
    domain = EXAMPLES[0].split()[2].partition("/")[0]
    small = {name: (path / WEIGHTS).stat().st_size for name, path in shipped.items() if name.startswith(f"{domain}/")}
    return min(small, key=small.__getitem__, default=next(iter(shipped), None))


def _own(name: str, path: Path, kind: str) -> dict[str, Any]:
    try:
        return _model(name, domain_of(path / WEIGHTS if path.is_dir() else path), kind, path)
    except (InputError, OSError) as error:
        return {"name": name, "why": str(error)}


def _model(name: str, domain: str, kind: str, path: Path) -> dict[str, Any]:
    card = path / "card.md"
    text = text_of(card, SMALL, "the card of a model") if card.is_file() else ""
    return {"name": name, "domain": domain, "summary": task(domain).summary, "kind": kind, "card": text}

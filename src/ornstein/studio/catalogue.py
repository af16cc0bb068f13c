"""All that can be drawn from: shipped models, runs of the user's own, and domains that cannot be loaded, with why."""

from pathlib import Path
from typing import Any

from ..errors import InputError
from ..tasks import runs
from ..tasks.registry import broken, task


def listed(folder: Path) -> dict[str, Any]:
    """Models as JSON values.

    Args:
        folder: of the user's own runs.
    """
    shipped = [_shipped(name, path) for name, path in runs.shipped().items()]
    own = [_own(path.parent) for path in sorted(folder.glob(f"*/{runs.MODEL}"))]
    return {
        "models": [*shipped, *(one for one in own if "why" not in one)],
        "broken": [
            *({"domain": domain, "why": str(error)} for domain, error in broken().items()),
            *(one for one in own if "why" in one),
        ],
    }


def _shipped(name: str, path: Path) -> dict[str, Any]:
    this, card = task(name.partition("/")[0]), path / "card.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return {"name": name, "domain": this.name, "summary": this.summary, "kind": "shipped", "card": text}


def _own(path: Path) -> dict[str, Any]:
    try:
        this = runs.task_of(path)
    except (InputError, OSError) as error:
        return {"name": str(path), "domain": "", "why": str(error)}
    return {"name": str(path), "domain": this.name, "summary": this.summary, "kind": "run", "card": ""}

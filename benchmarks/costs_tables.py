"""Tables and numbers of the page of costs."""

from collections.abc import Iterable, Sequence

NOWHERE = "Not measured on this checkout yet."


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown; words where there is no line."""
    body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body]) if body else NOWHERE


def short(value: float) -> str:
    """Three digits at most, without powers of ten."""
    if value == 0:
        return "0"
    return (
        f"{value:,.0f}" if abs(value) >= 100 else f"{float(f'{value:.2g}'):.12g}" if abs(value) >= 1e-4 else "< 0.0001"
    )

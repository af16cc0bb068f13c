"""Scores of a few samples drawn now beside those of many on a model's card, each under its name."""

from collections.abc import Sequence

from ..tasks.figures import Card, Metric
from ..text.escaping import html


def card_table(now: Sequence[Metric], card: Card) -> str:
    """A table in HTML: of the card's scores, and with them those that were measured now.

    Args:
        now: scores of what was drawn now; the columns of these are left out if there are none.
        card: what was measured of the model before.
    """
    known = {metric.name: metric for metric in card.metrics} | {metric.name: metric for metric in now}
    today, earlier = ({metric.name: metric.value for metric in metrics} for metrics in (now, card.metrics))
    heads = ["Score", *([f"Drawn now, {card.drawn}"] if now else []), f"On the card, {card.judged:,}", "Yardstick"]
    rows = [
        [
            f"<td>{html(name)}<br><small>{html(metric.better)} is better</small></td>",
            *([_number(today.get(name))] if now else []),
            _number(earlier.get(name)),
            _number(metric.reference, "" if metric.reference is None else f" ({metric.reference_name})"),
            f"<td>{html(metric.meaning)}</td>",
        ]
        for name, metric in known.items()
    ]
    head = "".join(f"<th>{html(one)}</th>" for one in (*heads, "What it means"))
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _number(value: float | None, after: str = "") -> str:
    return f'<td class="number">{"" if value is None else f"{value:.4g}"}{html(after)}</td>'

"""What a trust report is made of: plain statements, each with what it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ...files import number
from ...tasks.figures import Metric
from ...text.escaping import html, printable

LONGEST, BASIS = 200, 24  # characters of a statement, and of what it rests on
COLUMNS = 105  # characters of a printed line
ROOM = 14.5  # printed lines of a section, so that all is one page
GAP = 0.3  # of a line, between statements


@dataclass(frozen=True)
class Statement:
    """One sentence or two.

    Attributes:
        text: what is said, with its numbers.
        basis: what it rests on, such as "manifest" or "computed now".
        holds: of a test, whether it was passed; None of what was not tested. What does not hold is said first of all.
    """

    text: str
    basis: str
    holds: bool | None = None


@dataclass(frozen=True)
class TrustReport:
    """What was claimed of samples, what was tested anew, and what could still be wrong: one page.

    Attributes:
        title: of the samples, such as their folder.
        made: how many they are, of which model, when and how they were drawn.
        command: that draws them again; "" if there is none.
        answer: how exact they are by what was claimed, if every test is passed.
        claimed: what whoever drew them says.
        tested: what was found now, from the files alone.
        could_be_wrong: what neither excludes, the largest first.
    """

    title: str
    made: str
    command: str
    answer: str
    claimed: Sequence[Statement]
    tested: Sequence[Statement]
    could_be_wrong: Sequence[Statement]

    @property
    def failures(self) -> Sequence[Statement]:
        """What does not hold."""
        return [one for one in (*self.tested, *self.claimed) if one.holds is False]

    @property
    def trusted(self) -> bool:
        """Whether every test was passed and the record itself does not warn of the samples."""
        return not self.failures

    @property
    def verdict(self) -> str:
        """In words; what does not hold comes first."""
        if self.trusted:
            return self.answer
        said = "; ".join(clipped(one.text.rstrip("."), LONGEST) for one in self.failures[:2])
        more = f"; and {len(self.failures) - 2} more" if len(self.failures) > 2 else ""
        return f"NOT TO BE TRUSTED: {said}{more}"

    @property
    def sections(self) -> Mapping[str, Sequence[Statement]]:
        """The statements under their headings, as many and as long as a page has room for."""
        headings = "Claimed, by whoever drew them", "Tested, from the files alone", "Could still be wrong"
        parts = self.claimed, self.tested, self.could_be_wrong
        return {heading: shown(part) for heading, part in zip(headings, parts, strict=True)}

    def __str__(self) -> str:
        head = f"Trust report: {self.title}", self.made, self.command, sentence(self.verdict)
        parts = [line for line in head if line]
        for heading, statements in self.sections.items():
            parts += ["", heading, *(f"  {mark(one)} {one.text} [{one.basis}]" for one in statements)]
        return printable("\n".join(parts))

    def _repr_html_(self) -> str:
        from ..notebooks import of_trust

        return of_trust(self)


def shown(statements: Sequence[Statement]) -> list[Statement]:
    """As many statements as a page has room for, those that do not hold first, and how many are left out."""
    first = sorted(statements, key=lambda one: one.holds is not False)
    short = [Statement(clipped(one.text, LONGEST), clipped(one.basis, BASIS), one.holds) for one in first]
    ends = list(accumulate(height(one) for one in short))
    if not ends or ends[-1] <= ROOM:
        return short
    kept = sum(end <= ROOM - 1 - GAP for end in ends)
    return [*short[:kept], Statement(f"… and {len(short) - kept} more, for which this page has no room.", "")]


def height(statement: Statement) -> float:
    """How many lines a statement takes when it is printed."""
    return -(-(len(statement.text) + len(statement.basis) + 3) // COLUMNS) + GAP


def mark(statement: Statement) -> str:
    """The sign before a statement."""
    return {True: "✓", False: "✗", None: "·"}[statement.holds]


def sentence(text: str) -> str:
    """A text that begins with a capital."""
    return f"{text[:1].upper()}{text[1:]}"


def clipped(text: str, most: int) -> str:
    """A text on one line, without what is beyond `most` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 2]} …"


# Numbers in words -------------------------------------------------------------------------------------


def value(record: Mapping[str, Any], name: str) -> float:
    """A number of a record of exactness; NaN where it says none, as older records do."""
    return number(record.get(name))


def percent(share: float) -> str:
    """A share of 1, to two digits."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def count(n: float, noun: str) -> str:
    """A number of things, with commas."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    said = f"{n:,.0f}"
    return f"{said} {noun if said == '1' else several}"


def listed(metrics: Sequence[Metric], most: int = 150) -> str:
    """Scores beside their yardsticks, at least one and as many as fit into so many characters."""
    said = [f"{one.name} {one.measured}{_yardstick(one)}" for one in metrics]
    fitting = [k for k in range(1, len(said) + 1) if len("; ".join(said[:k])) <= most]
    kept = said[: max(fitting, default=1)]
    return "; ".join(kept) + (f"; and {len(said) - len(kept)} more" if len(said) > len(kept) else "")


def _yardstick(metric: Metric) -> str:
    return "" if metric.reference is None else f" ({metric.reference_name} {metric.yardstick.partition(' (')[0]})"


def paragraphs(statements: Sequence[Statement]) -> str:
    """Statements as items of an HTML list."""
    classes = {True: "holds", False: "fails", None: "said"}
    items = (
        f'<li class="{classes[one.holds]}"><span>{mark(one)}</span> {html(one.text)} '
        f"<small>{html(one.basis)}</small></li>"
        for one in statements
    )
    return f'<ul class="statements">{"".join(items)}</ul>'

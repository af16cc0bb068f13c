"""What a domain shows: measured numbers, pictures, things to turn, and chapters made of them."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Literal

from ..events import Stream
from ..text.escaping import html


@dataclass(frozen=True)
class Metric:
    """One measured number and how to read it.

    Attributes:
        name: of the metric.
        value: what was measured.
        better: which way is better.
        meaning: one sentence for a reader from the field.
        reference: the value that real data reach, or another yardstick; `reference_name` says which.
        error, reference_error: standard errors of the two, if known.
    """

    name: str
    value: float
    better: Literal["higher", "lower", "closer"]
    meaning: str
    reference: float | None = None
    reference_name: str = "real data"
    error: float | None = None
    reference_error: float | None = None

    @property
    def measured(self) -> str:
        """The value with its standard error."""
        return _with_error(self.value, self.error)

    @property
    def yardstick(self) -> str:
        """The reference with its standard error and what it is; empty if there is none."""
        if self.reference is None:
            return ""
        return f"{_with_error(self.reference, self.reference_error)} ({self.reference_name})"

    @property
    def off(self) -> float | None:
        """How many standard errors the value is off its yardstick; None if one of these is not known."""
        if self.reference is None or not self.error:
            return None
        return (self.value - self.reference) / hypot(self.error, self.reference_error or 0.0)


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"


@dataclass(frozen=True)
class Figure:
    """A picture and its caption.

    Attributes:
        image: a whole PNG, GIF or SVG file.
        caption: plain text, below the picture.
        kind: of the file.
        width: in which it is shown, pixels; its own if not given.
        alt: what is to be seen, for who cannot see it; the caption if that says it.
    """

    image: bytes
    caption: str
    kind: Literal["png", "gif", "svg+xml"] = "png"
    width: int | None = None
    alt: str = ""

    def html(self) -> str:
        """The figure with its picture inside it."""
        return f"<figure>{self.bare()}<figcaption>{html(self.caption)}</figcaption></figure>"

    def bare(self) -> str:
        """The picture alone."""
        data, width = b64encode(self.image).decode(), f' width="{self.width}"' if self.width else ""
        return f'<img alt="{html(self.alt or self.caption)}"{width} src="data:image/{self.kind};base64,{data}">'


@dataclass(frozen=True)
class Interactive:
    """What a reader can take in hand, and its caption.

    Attributes:
        fragment: HTML that fetches nothing.
        script: JavaScript that brings every such fragment before it to life, and may run again; a page has it once.
    """

    fragment: str
    caption: str
    script: str

    def html(self) -> str:
        """The figure with all that it needs, as a notebook shows it."""
        return f"{self.bare()}<script>{self.script}</script>"

    def bare(self) -> str:
        """The figure without its script."""
        return f"<figure>{self.fragment}<figcaption>{html(self.caption)}</figcaption></figure>"


@dataclass(frozen=True)
class Card:
    """What was measured of a model on many samples, beside which few samples drawn now are shown.

    Attributes:
        metrics: as they stand on the model's card.
        judged: how many samples they are of.
        drawn: how many samples the chapter's own metrics are of.
    """

    metrics: Sequence[Metric]
    judged: int
    drawn: int


@dataclass(frozen=True)
class Chapter:
    """A chapter of the tour or of a report.

    Attributes:
        text: HTML; titles and captions are plain text.
        metrics: measured on what the chapter shows.
        cover: the picture that stands for it on the wall at the head of the tour.
        card: the same measured on many samples, if that was done.
        facts: names and values in plain text, before the figures.
    """

    title: str
    text: str
    figures: Sequence[Figure | Interactive] = ()
    metrics: Sequence[Metric] = ()
    cover: Figure | None = None
    card: Card | None = None
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Stop:
    """A chapter of the tour that is still to be made.

    Attributes:
        title: of the chapter, for the table of contents and the progress.
        make: of the seed, the events of drawing it; returns the chapter.
        place: on the page, where chapters stand in the order of these numbers: 10 for what a newcomer wants to see
            first, 40 for inverse problems, 50 for the other models, 80 for how exact it all is.
        seconds: about how long it takes on one core, for the progress.
    """

    title: str
    make: Callable[[int], Stream[Chapter]]
    place: float = 50.0
    seconds: float = 5.0


def at_once(make: Callable[[int], Chapter]) -> Callable[[int], Stream[Chapter]]:
    """A chapter that tells nothing while it is made, as a stop makes it."""

    def stream(seed: int) -> Stream[Chapter]:
        yield from ()
        return make(seed)

    return stream

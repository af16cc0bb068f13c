"""What a domain shows: measured numbers, pictures, things to turn, and chapters made of them."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..escaping import html


@dataclass(frozen=True)
class Metric:
    """One measured number and how to read it.

    Attributes:
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


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"


@dataclass(frozen=True)
class Figure:
    """A picture and its caption. `image` is a whole PNG, GIF or SVG file."""

    image: bytes
    caption: str
    kind: Literal["png", "gif", "svg+xml"] = "png"
    width: int | None = None

    def html(self) -> str:
        """The figure with its picture inside it."""
        data, caption = b64encode(self.image).decode(), html(self.caption)
        width = f' width="{self.width}"' if self.width else ""
        image = f'<img alt="{caption}"{width} src="data:image/{self.kind};base64,{data}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


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
class Chapter:
    """A chapter of the tour or of a report."""

    title: str
    text: str
    figures: Sequence[Figure | Interactive] = ()
    metrics: Sequence[Metric] = ()

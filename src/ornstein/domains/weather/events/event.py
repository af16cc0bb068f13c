"""An event: the statistic of a variable above or below a threshold, of fields and as a factor."""

from dataclasses import dataclass, replace
from math import sqrt

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from .exceeds import Exceeds, Level


@dataclass(frozen=True, eq=False)
class Event:
    """A variable above or below a threshold.

    Attributes:
        text: as it was said.
        channels: of the state, one a lead; the event happens if it does at any of them.
        above: above the threshold, or below it.
        threshold: in the unit of the variable.
        of: "at" a place, or the "max", "min" or "mean" of points.
        index: of these in the flattened grid.
        weight: of each, in a sum.
        positive: whether the variable is never negative.
    """

    text: str
    channels: tuple[int, ...]
    above: bool
    threshold: float
    of: str
    index: Int64[Tensor, " points"]
    weight: Float[Tensor, " points"]
    positive: bool = False

    def value(self, fields: Float[Tensor, "n channels *grid"]) -> Float[Tensor, " n"]:
        """The statistic of fields, in the unit of the variable: of the lead at which it is most of an event.

        Args:
            fields: physical ones.
        """
        each = self._each(self._points(fields))
        return each.amax(1) if self.above else each.amin(1)

    def happened(self, fields: Float[Tensor, "n channels *grid"]) -> Bool[Tensor, " n"]:
        """In which fields the event is.

        Args:
            fields: physical ones.
        """
        value = self.value(fields)
        return value > self.threshold if self.above else value < self.threshold

    @property
    def factor(self) -> Exceeds:
        """The event as a factor."""
        sign = 1.0 if self.above else -1.0
        level = Level(lambda u: sign * self._each(self._points(u)), sign * self.threshold)
        if not self.positive:
            return Exceeds(level, self.happened, self.text)
        root = replace(level, threshold=sign * sqrt(max(self.threshold, 0.0)))
        if self.of in ("max", "min") or len(self.index) == 1 or self.threshold <= 0:
            return Exceeds(root, self.happened, self.text)
        squares = replace(level, statistic=lambda u: sign * self._each(_signed_squares(self._points(u))))
        return Exceeds(squares, self.happened, self.text, root)

    def _points(self, fields: Tensor) -> Float[Tensor, "n leads points"]:
        chosen = fields.flatten(2)[:, list(self.channels)]
        return chosen[..., self.index.to(fields.device)]

    def _each(self, points: Float[Tensor, "n leads points"]) -> Float[Tensor, "n any"]:
        """What is to pass the threshold, anywhere."""
        if self.of == ("max" if self.above else "min"):
            return points.flatten(1)
        if self.of in ("max", "min"):
            return points.amax(-1) if self.of == "max" else points.amin(-1)
        return (points * self.weight.to(points)).sum(-1)


def _signed_squares(u: Tensor) -> Tensor:
    """u², with the sign of u, so that there is a slope below 0, too."""
    return u * u.abs()

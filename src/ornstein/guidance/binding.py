"""Guides that are made when they are put on a model, of what that model knows of its data.

States are numbers: that category 2 is nitrogen, or G, or a sandal, is among the facts a model was trained with, and
nowhere else. A guide that speaks of such things is a `ForModel` until it meets them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from ..denoisers.base import Denoiser, Guide
from ..denoisers.mapped import field_space
from ..errors import InputError
from .factors import Factor

Metadata = Mapping[str, Any]


@dataclass(frozen=True)
class ForModel(Guide):
    """A guide yet to be made, for the model that it is put on.

    Attributes:
        name: of the guide, for errors.
        make: the guide, from the facts of the model and the space it is about; InputError if these do not suit it.
        needs: the facts without which it cannot be made.
        given: facts that are said by hand, for a denoiser of the user's own; a model's own must agree with them.
    """

    name: str
    make: Callable[[Metadata, Any], Guide]
    needs: tuple[str, ...] = ()
    given: Metadata = field(default_factory=dict)

    def guide(self, denoiser: Denoiser) -> Denoiser:
        return denoiser & self.bound(denoiser)

    def bound(self, denoiser: Denoiser) -> Guide:
        """The guide itself; InputError names the fact that the model lacks."""
        return self.make(metadata_of(denoiser, self.name, self.needs, self.given), field_space(denoiser))

    def then(self, change: Callable[[Any], Guide]) -> "ForModel":
        """What becomes of it once it is made, such as `lambda factor: Interval(factor, 0.5)`."""
        return replace(self, make=lambda metadata, space: change(self.make(metadata, space)))

    def on(self, part: str) -> "ForModel":
        """The same about one part of a product space."""

        def make(metadata: Metadata, space: Any) -> Guide:
            parts = getattr(space, "parts", {})
            if part not in parts:
                raise InputError(f"{self.name}: the model has no part {part!r}, only {', '.join(parts) or 'one whole'}")
            made = self.make(metadata, parts[part])
            if not isinstance(made, Factor):
                raise InputError(f"{self.name}: is no factor, and so about the whole and no part of it")
            return made.on(part)

        return replace(self, make=make)


def metadata_of(
    denoiser: Denoiser, name: str, needs: tuple[str, ...] = (), given: Metadata | None = None
) -> dict[str, Any]:
    """What is known of a denoiser's data: its model's facts and the given ones.

    InputError if a fact is missing or empty, or the two disagree; name: of who asks.

    Args:
        needs: entries of the metadata without which the guide cannot be made.
    """
    origin, given = denoiser.origin, given or {}
    metadata = dict(origin.metadata) if origin else {}
    whose = f"{origin.domain}/{origin.name}" if origin else f"{type(denoiser).__name__}, which comes from no training"
    for fact, value in given.items():
        if fact in metadata and _plain(metadata[fact]) != _plain(value):
            raise InputError(f"{name}: {fact} are said to be {value}, the model's own are {metadata[fact]}")
    metadata |= given
    missing = [fact for fact in needs if not metadata.get(fact)]
    if missing:
        raise InputError(f"{name}: needs a model that knows its {missing[0]}; this one is {whose}")
    return metadata


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Several(Guide):
    """Guides that are said together."""

    guides: tuple[Guide, ...]

    def guide(self, denoiser: Denoiser) -> Denoiser:
        return reduce(Denoiser.__and__, self.guides, denoiser)

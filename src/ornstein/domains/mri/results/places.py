"""Which slice and which member a sample is, by its number."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .volumes import Frame


@dataclass(frozen=True)
class Places:
    """Of the samples of these numbers.

    Attributes:
        numbers: of the samples.
        each: samples a slice; None: they are of no scan, all of one slice.
    """

    numbers: range
    each: int | None

    @classmethod
    def of(cls, numbers: range, settings: Mapping[str, Any]) -> "Places":
        """By the settings that samples carry.

        Args:
            numbers: of the samples.
            settings: of the samples.
        """
        return cls(numbers, int(settings["each"]) if "scan" in settings else None)

    @property
    def slices(self) -> range:
        """Of those that the request speaks of."""
        if self.each is None:
            return range(1)
        return range(self.numbers.start // self.each, -(-self.numbers.stop // self.each))

    @property
    def members(self) -> range:
        """That any slice has."""
        if self.each is None:
            return self.numbers
        if len(self.slices) > 1:
            return range(self.each)
        start = self.slices.start * self.each
        return range(self.numbers.start - start, self.numbers.stop - start)

    def of_slice(self, index: int) -> range:
        """The numbers of a slice's samples.

        Args:
            index: of the slice.
        """
        if self.each is None:
            return self.numbers
        start = index * self.each
        return range(max(start, self.numbers.start), min(start + self.each, self.numbers.stop))

    def at(self, number: int) -> tuple[int, int]:
        """Where a sample is in the files: which of the slices there, and which of the members.

        Args:
            number: of the sample.
        """
        if self.each is None:
            return 0, number - self.numbers.start
        return number // self.each - self.slices.start, number % self.each - self.members.start

    def frame(self, settings: Mapping[str, Any], size: tuple[int, int]) -> Frame:
        """Of the slices that there are samples of.

        Args:
            settings: of the samples.
            size: of images that are of no scan.
        """
        if self.each is None:
            return Frame.plain(size)
        return Frame.of(settings["scan"], "settings: scan").of_slices(self.slices)

    def __iter__(self) -> Iterator[int]:
        """The slices."""
        return iter(self.slices)

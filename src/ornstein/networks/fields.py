"""What a network for fields is told and how fields end: one description for the U-Net and the transformer.

A field is (batch, channels, *grid) over one, two or three axes of any length. Beside the noisy state a network sees, as
channels, fields that are given sample by sample, static fields and coordinates; numbers that are given sample by sample
join the time. Where a value is NaN it is missing: the network sees 0 there and, in a channel beside, that it is not
known. What lies beyond the ends of each axis is said, too (ornstein.spectral.borders).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import pi
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from ..spectral.borders import BORDERS, Border
from ..states import left
from ..values import as_tensor
from .borders import cropped, padded, padding
from .embeddings import Caption, CaptionEmbedding, LabelEmbedding, ScalarEmbedding, TimeEmbedding

_RESERVED = ("mask", "label", "caption")


@dataclass(frozen=True, eq=False)
class Fields:
    """What a network for fields is told.

    Attributes:
        channels: of the state, which are those of the output, too.
        conditions: name → channels, of fields that are given sample by sample, (batch, channels, *grid), standardised;
            NaN = missing. One that is 1 long on every axis is the same everywhere.
        scalars: name → how many, of numbers that are given sample by sample, (batch, numbers), standardised; NaN = not
            said.
        static: fields that are the same for every sample, (static channels, *grid), standardised, such as orography or
            a land mask. They are saved with the weights, and give all states their size.
        coordinates: whether the network is told where on each axis an element is: from −1 to 1, or, where the axis is
            periodic, as sine and cosine.
        borders: what lies beyond the ends of each axis: "zero", "periodic", "reflect" or "symmetric". There are as many
            axes.
        mask: whether the condition "mask" (batch, 1 or channels, *grid) says which elements of the state exist.
    """

    channels: int
    conditions: Mapping[str, int] = field(default_factory=dict)
    scalars: Mapping[str, int] = field(default_factory=dict)
    static: Tensor | None = None
    coordinates: bool = False
    borders: Sequence[Border] = ("zero", "zero")
    mask: bool = False

    def __post_init__(self) -> None:
        for kind in ("conditions", "scalars"):
            named: Any = getattr(self, kind)
            if not isinstance(named, Mapping) or not all(isinstance(name, str) for name in named):
                raise InputError(f"Fields: {kind} are {named!r}, expected a dictionary, name → how many")
        for name in ("coordinates", "mask"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"Fields: {name} is {getattr(self, name)!r}, expected True or False")
        numbers = {"channels": self.channels}
        numbers |= {
            f"{kind}[{name!r}]": n for kind in ("conditions", "scalars") for name, n in getattr(self, kind).items()
        }
        for name, number in numbers.items():
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise InputError(f"Fields: {name} is {number}, expected a whole number from 1")
        wrong = [name for name in self.conditions if name in self.scalars]
        wrong += [name for name in _RESERVED if name in self.conditions or name in self.scalars]
        if wrong:
            raise InputError(f"Fields: two conditions cannot be called {wrong[0]!r}; {', '.join(_RESERVED)} are taken")
        self._require_borders()
        self._require_static()

    @classmethod
    def of_data(
        cls, metadata: Mapping[str, Any], borders: Sequence[Border], without: Collection[str] = (), **said: Any
    ) -> "Fields":
        """What data say of themselves: the channels, conditions, scalars and static fields of `FieldData.metadata`.

        The static fields are 0 until the network is given those of the data (`FieldNetwork.take_static`), as a training
        does.

        Args:
            metadata: of the data.
            borders: the rule of each axis.
            without: conditions that the network is not told, such as the base of a residual.
            said: the other attributes, such as coordinates.
        """
        told = {
            kind: {k: n for k, n in metadata[kind].items() if k not in without} for kind in ("conditions", "scalars")
        }
        channels, *grid = metadata["shape"]
        static = torch.zeros(metadata["static"], *grid) if metadata["static"] else None
        masked = bool(metadata["layout"]["mask"]) or metadata["layout"]["missing"] == "mask"
        return cls(channels, static=static, borders=borders, **{"mask": masked, **told, **said})

    @property
    def axes(self) -> int:
        """How many axes the grid has."""
        return len(self.borders)

    @property
    def inputs(self) -> int:
        """How many channels a network sees."""
        coordinates = [2 if border == "periodic" else 1 for border in self.borders] if self.coordinates else []
        static = 0 if self.static is None else len(self.static)
        seen = self.channels * (1 + self.mask)
        return seen + 2 * sum(self.conditions.values()) + static + sum(coordinates)

    @property
    def unconditional(self) -> dict[str, Tensor]:
        """For every condition the value of one sample that stands for "not said": NaN, for fields of any size."""
        said = {name: torch.full((n,) + (1,) * self.axes, torch.nan) for name, n in self.conditions.items()}
        return said | {name: torch.full((n,), torch.nan) for name, n in self.scalars.items()}

    def _require_borders(self) -> None:
        told = isinstance(self.borders, Sequence) and not isinstance(self.borders, str)
        if not told or not 1 <= self.axes <= 3 or not set(self.borders) <= set(BORDERS):
            words = ", ".join(BORDERS)
            raise InputError(f"Fields: borders are {self.borders!r}, expected for each of 1 to 3 axes one of {words}")

    def _require_static(self) -> None:
        if self.static is None:
            return
        object.__setattr__(self, "static", as_tensor(self.static, "Fields: static"))
        if not self.static.numel() or self.static.ndim != 1 + self.axes or not self.static.is_floating_point():
            found = f"{self.static.dtype} of shape {tuple(self.static.shape)}"
            raise InputError(f"Fields: static is {found}, expected real numbers (channels, and {self.axes} axes)")
        if not self.static.isfinite().all():
            place = tuple((~self.static.isfinite()).nonzero()[0].tolist())
            raise InputError(
                f"Fields: static is {self.static[place].item()} at {place}, expected finite numbers; put 0 where there "
                "are none, and a channel beside that says where they are"
            )


def as_fields(fields: Fields | int) -> Fields:
    """The description; a number is that of a picture's channels, of which nothing more is told."""
    return fields if isinstance(fields, Fields) else Fields(fields)


class FieldNetwork(nn.Module):
    """What networks for fields share: the channels that they see, at a size that they can divide, and what is said.

    Args:
        fields: what the network is told.
        factor: what the length of every axis must be divisible by; others are padded by the rule of the borders.
        embedding: width of what is said of the whole field.
        classes: how many labels there are; 0 for none.
        caption: numbers a word; 0 for no captions.
        words: width of the words that the field attends to.
    """

    static: Tensor | None

    def __init__(self, fields: Fields, factor: int, embedding: int, classes: int, caption: int, words: int) -> None:
        super().__init__()
        self.fields, self.factor = fields, factor
        self.time = TimeEmbedding(embedding)
        self.label = LabelEmbedding(classes, embedding) if classes else None
        self.caption = CaptionEmbedding(caption, words, embedding) if caption else None
        self.scalars = ScalarEmbedding(sum(fields.scalars.values()), embedding) if fields.scalars else None
        self.register_buffer("static", fields.static)

    def said(self, t: Tensor, condition: Mapping[str, Tensor]) -> tuple[Tensor, Caption | None]:
        """What is said of the field as a whole, (batch, embedding), and the words of its caption.

        Args:
            t: times, (batch,).
            condition: name → (batch, ...).
        """
        about, caption = self.time(t), None
        if self.label is not None:
            about = about + self.label(condition["label"])
        if self.caption is not None:
            caption = self.caption(condition["caption"])
            about = about + caption.whole
        if self.scalars is not None:
            about = about + self.scalars(self._numbers(condition, about))
        return about, caption

    def seen(
        self, x: Float[Tensor, "batch c *grid"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch d *size"]:
        """All channels that the network sees, with every axis as long as the factor asks.

        Args:
            x: states at unit variance.
            condition: name → (batch, ...).
        """
        require_state(x, self.fields, self.static)
        parts = self._existing(x, condition)
        for name, channels in self.fields.conditions.items():
            value = field_of(name, channels, condition, x)
            self._check(name, value)
            parts.append(known(value))
        if self.static is not None:
            parts.append(self.static.to(x).expand(len(x), *self.static.shape))
        if self.fields.coordinates:
            parts.append(coordinates(x, self.fields.borders))
        whole = x if len(parts) == 1 else torch.cat(parts, 1)
        return padded(whole, padding(x.shape[2:], self.factor), self.fields.borders)

    def take_static(self, static: Float[Tensor, "channels *grid"]) -> None:
        """Puts static fields in the place of those that the network was made with; InputError for another shape.

        Args:
            static: (channels, *grid), standardised.
        """
        shape = None if self.static is None else tuple(self.static.shape)
        if self.static is None or shape != tuple(static.shape):
            raise InputError(f"static has the shape {tuple(static.shape)}, but the network was made for {shape}")
        Fields(1, static=static, borders=self.fields.borders)  # which checks their numbers
        self.static.copy_(static)

    def cropped(self, out: Float[Tensor, "batch c *size"], grid: Sequence[int]) -> Float[Tensor, "batch c *grid"]:
        """A field at the size of the grid again.

        Args:
            grid: lengths of the axes, before they were padded.
        """
        return cropped(out, padding(grid, self.factor)).contiguous()

    def _numbers(self, condition: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """The scalars of each sample, NaN where nothing is said."""
        numbers = []
        for name, size in self.fields.scalars.items():
            value = condition.get(name)
            value = like.new_full((len(like), size), torch.nan) if value is None else value
            if value.shape != (len(like), size):
                expected = (len(like), size)
                raise InputError(f"condition {name!r} has the shape {tuple(value.shape)}, expected {expected}")
            self._check(name, value)
            numbers.append(value.to(like))
        return torch.cat(numbers, 1)

    def _existing(self, x: Tensor, condition: Mapping[str, Tensor]) -> list[Tensor]:
        """The state where it exists and, if the network is told, where that is."""
        mask = condition.get("mask")
        if not self.fields.mask:
            if mask is not None:
                raise InputError("this network is not told of a mask, the condition 'mask': Fields(mask=True)")
            return [x]
        exists = torch.ones_like(x, dtype=torch.bool) if mask is None else mask_of(mask, x)
        return [x.where(exists, 0.0), exists.to(x)]

    def _check(self, name: str, value: Tensor) -> None:
        """InputError for an infinite condition; a training on a GPU is not made to wait, as its loss is looked at."""
        if not torch.compiler.is_compiling() and not (self.training and value.is_cuda):
            require_no_infinity(name, value)


def require_state(x: Tensor, fields: Fields, static: Tensor | None) -> None:
    """InputError unless a state has the channels and axes that were told, and the size of the static fields."""
    lengths = ["any"] * fields.axes if static is None else list(map(str, static.shape[1:]))
    if (
        x.ndim != 2 + fields.axes
        or x.shape[1] != fields.channels
        or (static is not None and x.shape[2:] != static.shape[1:])
    ):
        expected = ", ".join(["batch", str(fields.channels), *lengths])
        why = "" if static is None else ", as the static fields have"
        raise InputError(f"the state has the shape {tuple(x.shape)}, expected ({expected}){why}")
    if not x.numel():
        raise InputError(f"the state has the shape {tuple(x.shape)}, expected one element at least")


def field_of(name: str, channels: int, condition: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The field of that name at the size of the state, NaN where nothing is said; InputError for another size."""
    grid = x.shape[2:]
    value = condition.get(name)
    if value is None:
        return x.new_full((len(x), channels, *grid), torch.nan)
    everywhere = value.shape[2:] == (1,) * len(grid)
    if value.shape[:2] != (len(x), channels) or value.shape[2:] not in (grid, (1,) * len(grid)):
        expected = (len(x), channels, *grid)
        raise InputError(f"condition {name!r} has the shape {tuple(value.shape)}, expected {expected}")
    return value.to(x).expand(-1, -1, *grid) if everywhere else value.to(x)


def mask_of(mask: Tensor, x: Tensor) -> Tensor:
    """Which elements of the state exist, at its shape; InputError for a mask of another kind or size."""
    fits = mask.ndim <= x.ndim and all(m in (1, n) for m, n in zip(mask.shape, x.shape, strict=False))
    if not fits or len(mask) != len(x) or mask.dtype != torch.bool:
        expected = f"booleans ({len(x)}, 1 or {x.shape[1]}, {', '.join(map(str, x.shape[2:]))})"
        raise InputError(f"condition 'mask' is {mask.dtype} of shape {tuple(mask.shape)}, expected {expected}")
    return left(mask, x).expand_as(x)


def known(value: Tensor) -> Tensor:
    """Values with 0 where they are missing (NaN) and, in as many channels beside, 1 where they are known."""
    said = ~value.isnan()
    return torch.cat([value.where(said, 0.0), said.to(value)], 1)


def coordinates(x: Float[Tensor, "batch c *grid"], borders: Sequence[Border]) -> Float[Tensor, "batch d *grid"]:
    """Where the middle of each element is on each axis: from −1 to 1, or sine and cosine where it is periodic.

    Args:
        x: a field, whose size and precision count.
        borders: the rule of each axis.
    """
    grid, channels = x.shape[2:], []
    for axis, (n, border) in enumerate(zip(grid, borders, strict=True)):
        place = (2 * torch.arange(n, device=x.device, dtype=x.dtype) + 1) / n - 1
        place = place.reshape(-1, *(1,) * (len(grid) - 1 - axis)).expand(grid)
        channels += [(pi * place).sin(), (pi * place).cos()] if border == "periodic" else [place]
    return torch.stack(channels).expand(len(x), -1, *grid)


def require_no_infinity(name: str, value: Tensor) -> None:
    """InputError for a condition that is infinite somewhere; NaN stands for what is missing."""
    if value.isinf().any():
        place = tuple(value.isinf().nonzero()[0].tolist())
        raise InputError(f"condition {name!r} is {value[place].item()} at {place}, expected finite numbers, or NaN")

"""The batches of a training: clean data with their conditions, noise levels and keys.

Which records a step sees and what they are is a function of (seed, step), so they are read one step ahead of the
computation. Noise levels may follow the losses so far (importance sampling): they are drawn when the step begins.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..config import TrainConfig
from ..denoisers.base import Condition, NeuralDenoiser
from ..denoisers.regressors import Regressor
from ..errors import InputError
from ..keys import Keys
from ..spaces import Product
from ..states import State, map_state, to_device
from .ahead import Ahead
from .batches import NoiseTimes, hide, record_numbers
from .checking import read
from .datasets import Dataset
from .devices import Fabric

Trained = NeuralDenoiser | Regressor
"""What can be trained: it has a network, a kind, conditions that may be hidden, and `losses`."""


@dataclass(frozen=True)
class Read:
    """One worker's part of a batch as it was read: the records' numbers, clean data and conditions."""

    records: Int64[Tensor, " batch"]
    x0: State
    condition: Condition


@dataclass(frozen=True)
class Batch:
    """One worker's part of a step: clean data, condition, times, weights, keys and the records' numbers.

    Attributes:
        t: where the clock stands.
        times: what is trained on: t, or the parts' own times, where they are not all on the path.
    """

    x0: State
    condition: Condition
    t: Float[Tensor, " batch"]
    times: Tensor | Mapping[str, Tensor]
    weight: Float[Tensor, " batch"]
    keys: Keys
    records: Int64[Tensor, " batch"]


class Feed:
    """What a model is shown: `training(step)`, each record read once and checked, and `held_out()`.

    Attributes:
        data, validation: the data sets; `data` may be exchanged between two blocks of `ahead`.
        times: the noise levels trained on.
    """

    def __init__(self, model: Trained, data: Dataset, validation: Dataset, config: TrainConfig, fabric: Fabric) -> None:
        self.data, self.validation, self.times = data, validation, NoiseTimes(config)
        self._model, self._config, self._fabric = model, config, fabric
        if config.apart:
            self._parts()
        self._lock = threading.Lock()
        self._next: Callable[[int], Read] = self._read

    @contextmanager
    def ahead(self, end: float) -> Iterator[None]:
        """Within the block each batch is read while the one before is used; the steps go in order, up to `end`."""
        with Ahead(self._read, end) as self._next:
            try:
                yield
            finally:
                self._next = self._read

    def training(self, step: int) -> Batch:
        """This worker's part of the batch of a step; InputError, which names the record, if one is no clean data."""
        size, part = self._config.batch_size, self._part()
        clean = self._next(step)
        t, weight = self.times.draw(step)
        keys = Keys.of(self._config.seed, range(step * size, (step + 1) * size))[part].fold("train")
        batch = self._batch(clean, t[part], weight[part], keys, self._config.apart)
        unconditional = {name: value.to(self._fabric.device) for name, value in self._model.unconditional.items()}
        return replace(
            batch, condition=hide(batch.condition, unconditional, self._config.condition_dropout, batch.keys)
        )

    def held_out(self) -> Iterator[Batch]:
        """The validation data, always under the same noise and at the same times."""
        size, n = self._config.batch_size, len(self.validation)
        for first in range(0, n, size):
            records = torch.arange(first, min(first + size, n))
            t = ((records * 0.6180339887498949) % 1.0).clamp(min=self._config.min_time).float()
            clean = self._checked(self.validation, records, "validation data")
            yield self._batch(clean, t, torch.ones_like(t), Keys.of(self._config.seed, records.tolist()))

    def _part(self) -> slice:
        """This worker's part of a batch."""
        size, workers, rank = self._config.batch_size, self._fabric.world_size, self._fabric.global_rank
        return slice(rank * size // workers, (rank + 1) * size // workers)

    def _read(self, step: int) -> Read:
        data, config = self.data, self._config
        records = record_numbers(config.seed, step, config.batch_size, len(data), data.sizes)[self._part()]
        return self._checked(data, records, "training data")

    def _checked(self, data: Dataset, records: Tensor, where: str) -> Read:
        with self._lock:  # one read at a time, which files and their libraries may need
            try:
                return Read(records, *read(self._model.space, data, records, where))
            except InputError as error:
                raise InputError(f"{error}; it was not used, and the last checkpoint is intact") from error

    def _batch(self, clean: Read, t: Tensor, weight: Tensor, keys: Keys, apart: float = 0.0) -> Batch:
        to, own = partial(to_device, device=self._fabric.device), t
        if apart:
            own = map_state(lambda one: one.clamp(min=self._config.min_time), self._parts().apart(t, apart, keys))
        x0, condition, keys = to(clean.x0), to(clean.condition), keys.to(self._fabric.device)
        return Batch(x0, condition, to(t), to(own), to(weight), keys, clean.records)

    def _parts(self) -> Product:
        """The space, which must have parts to be at times of their own."""
        space = self._model.space
        if not isinstance(space, Product):
            raise InputError(f"train.apart is for data of several parts, not for a {type(space).__name__} space")
        return space

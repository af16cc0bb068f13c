"""The batches of a training: clean data with their conditions, noise levels and keys.

Which records a step sees and what they are is a function of (seed, step), so they are read one step ahead of the
computation. Noise levels may follow the losses so far (importance sampling): they are drawn when the step begins.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..config import TrainConfig
from ..denoisers.base import Condition, NeuralDenoiser
from ..denoisers.recall import recalled
from ..denoisers.regressors import Regressor
from ..errors import InputError
from ..keys import Keys
from ..spaces import Product
from ..states import State, map_state
from .ahead import Ahead
from .batches import NoiseTimes, hide, record_numbers
from .checking import read
from .cutting import cut
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
        recall: a network that recalls sees what it believes.
    """

    x0: State
    condition: Condition
    t: Float[Tensor, " batch"]
    times: Tensor | Mapping[str, Tensor]
    weight: Float[Tensor, " batch"]
    keys: Keys
    records: Int64[Tensor, " batch"]
    recall: bool = False


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
        keys = Keys.of(self._config.seed, range(step * size, (step + 1) * size)).fold("train")
        recall = self._recall(keys)
        keys = keys[part]
        condition = hide(clean.condition, self._model.unconditional, self._config.condition_dropout, keys)
        return self._batch(replace(clean, condition=condition), t[part], weight[part], keys, recall, self._config.apart)

    def held_out(self) -> Iterator[Batch]:
        """The validation data, always under the same noise and at the same times."""
        for records in self.judged.split(self._config.batch_size):
            t = ((records * 0.6180339887498949) % 1.0).clamp(min=self._config.min_time).float()
            clean, keys = self._checked(self.validation, records, "validation data"), self._keys(records)
            yield self._batch(clean, t, torch.ones_like(t), keys, self._recall(keys))

    def _keys(self, records: Tensor) -> Keys:
        return Keys.of(self._config.seed, records.tolist())

    @cached_property
    def judged(self) -> Int64[Tensor, " records"]:
        """The records of the validation data that are used: all, or as many as asked for, evenly spread by size."""
        n, most = len(self.validation), self._config.validate_on
        if not most or n <= most:
            return torch.arange(n)
        sizes = self.validation.sizes
        order = torch.arange(n) if sizes is None else sizes.argsort(stable=True)
        return order[(torch.arange(most) * n) // most].sort().values

    def _recall(self, keys: Keys) -> bool:
        """Whether the network sees what it believes, decided here, where nothing waits for the answer."""
        return bool(getattr(self._model, "recalls", False) and recalled(keys))

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
                x0, condition = read(self._model.space, data, records, where)
            except InputError as error:
                raise InputError(f"{error}; it was not used, and the last checkpoint is intact") from error
        return Read(records, *(cut(x0, condition) if self._cuts else (x0, condition)))

    @property
    def _cuts(self) -> bool:
        """Whether the network works on any number of positions."""
        return getattr(self._model.network, "any_length", False)

    def _batch(
        self, clean: Read, t: Tensor, weight: Tensor, keys: Keys, recall: bool = False, apart: float = 0.0
    ) -> Batch:
        to, own = partial(_sent, device=self._fabric.device), t
        if apart:
            own = map_state(lambda one: one.clamp(min=self._config.min_time), self._parts().apart(t, apart, keys))
        x0, condition, keys = to(clean.x0), to(clean.condition), keys.to(self._fabric.device)
        return Batch(x0, condition, to(t), to(own), to(weight), keys, clean.records, recall)

    def _parts(self) -> Product:
        """The space, which must have parts to be at times of their own."""
        space = self._model.space
        if not isinstance(space, Product):
            raise InputError(f"train.apart is for data of several parts, not for a {type(space).__name__} space")
        return space


def _sent(state: State, device: torch.device) -> Any:
    """The state on the device, sent while it goes on with what it does."""
    if device.type == "cpu":
        return state
    return map_state(lambda leaf: leaf.pin_memory().to(device, non_blocking=True), state)

"""What each training step sees, as pure functions of (seed, step): records, noise levels, hidden conditions, rate."""

from dataclasses import dataclass, field
from functools import lru_cache
from math import cos, pi

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..config import TrainConfig
from ..denoisers.base import Condition
from ..denoisers.conditions import require_fit
from ..keys import Keys
from ..states import left


def learning_rate(config: TrainConfig, step: int, seconds: float = 0.0) -> float:
    """Linear warm-up, then constant or a half cosine that reaches 0 at the last step, or when the minutes are over.

    seconds: of training before this step, which count where config.minutes are given.
    """
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup))
    if config.decay == "constant":
        return rate
    done, whole = (step, config.steps) if config.minutes is None else (seconds, 60 * config.minutes)
    return rate * 0.5 * (1 + cos(pi * min(done, whole) / whole))


_WINDOW = 32  # batches among which records are sorted by size


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, records: int, batch_size: int, sizes: Tensor | None) -> Tensor:
    keys = Keys.of(seed, 1).fold("epoch").fold(epoch)
    order = keys.bits(records)[0].argsort()
    return order if sizes is None else _bucketed(order, sizes, batch_size, -epoch * records % batch_size, keys)


def _bucketed(order: Tensor, sizes: Tensor, batch_size: int, begun: int, keys: Keys) -> Tensor:
    """The order with batches of records of like size: sorted within windows, in which the batches are then shuffled.

    begun: how many records the last batch of the epoch before still takes.
    """
    head, *windows = order.tensor_split(tuple(range(begun, len(order), _WINDOW * batch_size)))
    parts = [head]
    for k, window in enumerate(windows):
        batches = window[sizes[window].argsort(stable=True)].split(batch_size)
        whole = [batch for batch in batches if len(batch) == batch_size]
        shuffled = keys.fold("buckets").fold(k).bits(len(whole) + 1)[0, 1:].argsort().tolist()
        parts += [*(whole[j] for j in shuffled), *batches[len(whole) :]]
    return torch.cat(parts)


def record_numbers(
    seed: int, step: int, batch_size: int, records: int, sizes: Int64[Tensor, " records"] | None = None
) -> Int64[Tensor, " batch"]:
    """Which records make the batch of a step: every epoch is a new permutation, and batches run on across epochs.

    sizes: of the records, where batches of like size are cheaper.

    Args:
        seed: of all random numbers.
        batch_size: records drawn at once.
    """
    first, end = step * batch_size, (step + 1) * batch_size
    parts = []
    for epoch in range(first // records, (end - 1) // records + 1):
        begins = epoch * records
        order = _permutation(seed, epoch, records, batch_size, sizes)
        parts.append(order[max(0, first - begins) : end - begins])
    return torch.cat(parts)


@dataclass
class NoiseTimes:
    """The times trained on, and 1/density so that their average stays the average over uniform t.

    Importance sampling draws bin b of [0, 1] with probability ∝ √E[loss²] (Nichol & Dhariwal 2021), mixed with uniform.
    """

    config: TrainConfig
    squares: Float[Tensor, " bins"] = field(default_factory=lambda: torch.ones(32, dtype=torch.float64))

    def draw(self, step: int) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Times and weights of one step's whole batch, float32."""
        n, keys = self.config.batch_size, Keys.of(self.config.seed, 1).fold("times").fold(step)
        independent = self.config.times == "uniform"
        u = keys.uniform(n)[0] if independent else (torch.arange(n) + keys.uniform(1)[0]) / n
        t, weight = self._warp(u) if self.config.times == "importance" else (u, torch.ones_like(u))
        return t.clamp(min=self.config.min_time).float(), weight.float()

    def observe(self, t: Tensor, loss: Tensor) -> None:
        """Learns how large the loss is at which time."""
        bins = (t.double() * len(self.squares)).long().clamp(max=len(self.squares) - 1)
        total, count = torch.zeros_like(self.squares), torch.zeros_like(self.squares)
        total.index_add_(0, bins, loss.double() ** 2)
        count.index_add_(0, bins, torch.ones_like(t, dtype=torch.float64))
        seen = count > 0
        self.squares[seen] = self.squares[seen].lerp(total[seen] / count[seen], 0.02)

    def _warp(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The piecewise linear inverse of the cumulative distribution."""
        share = self.squares.sqrt() / self.squares.sqrt().sum()
        share = 0.9 * share + 0.1 / len(share)
        cumulative = share.cumsum(0)
        bin = torch.searchsorted(cumulative, u * cumulative[-1]).clamp(max=len(share) - 1)
        inside = 1 - (cumulative[bin] - u * cumulative[-1]) / share[bin]
        return (bin + inside) / len(share), 1 / (share[bin] * len(share))


def hide(condition: Condition, unconditional: Condition, rate: float, keys: Keys) -> dict[str, Tensor]:
    """The condition with a random share of the records' values replaced by "not said", name by name.

    InputError for values of another kind or width than those of "not said".

    Args:
        unconditional: for every condition the value that stands for "not said".
        rate: how often a condition is hidden, in [0, 1].
        keys: random keys, one a sample; they decide everything random.
    """
    hidden = dict(condition)
    for name in unconditional.keys() & condition.keys():
        drop = keys.fold(f"hide {name}").uniform() < rate
        value = condition[name]
        require_fit(name, value, unconditional[name])
        hidden[name] = torch.where(left(drop, value), unconditional[name].to(value), value)
    return hidden

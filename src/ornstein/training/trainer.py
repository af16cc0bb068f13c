"""One trainer for every domain: minimise E_t E_{x_t} [w(t) · loss(belief(x_t, t), x₀)] and average the weights.

Everything random is a function of (seed, step, position in the batch): nothing of a generator needs saving, a resumed
run is the uninterrupted one bit for bit on the CPU, and the noise does not depend on how many workers share a batch.
"""

import copy
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from lightning_fabric import Fabric
from torch import Tensor

from ..config import RESUMABLE, TrainConfig
from ..denoisers.base import Condition, NeuralDenoiser
from ..denoisers.regressors import Regressor
from ..errors import InputError, Interrupted, TrainingError
from ..files import write_text
from ..keys import Keys
from ..states import State, to_device
from . import checkpoints
from .batches import NoiseTimes, hide, learning_rate, record_numbers
from .datasets import Dataset

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Batch:
    """One worker's part of a step: clean data, condition, times, weights, keys and the records' numbers."""

    x0: State
    condition: Condition
    t: Float[Tensor, " batch"]
    weight: Float[Tensor, " batch"]
    keys: Keys
    records: Int64[Tensor, " batch"]


Trained = NeuralDenoiser | Regressor
"""What can be trained: it has a network, a kind, conditions that may be hidden, and `losses`."""


def losses(model: Trained, batch: Batch) -> Float[Tensor, " batch"]:
    """The weighted loss of each record."""
    return model.losses(batch.x0, batch.t, batch.condition, batch.keys) * batch.weight


class Trainer:
    """Trains a denoiser or a regressor on a data set in a run folder.

    The folder holds last.safetensors (everything a resume needs), KIND.safetensors (the averaged weights; "model" of a
    denoiser, "regressor") and metrics.jsonl. `meta` is what the model's file says of itself.
    """

    def __init__(
        self,
        model: Trained,
        data: Dataset,
        validation: Dataset,
        config: TrainConfig,
        folder: Path,
        meta: dict[str, Any],
        progress: Progress = lambda row: None,
    ) -> None:
        self.config, self.folder, self.meta, self.progress = config, folder, meta, progress
        self.data, self.validation = data, validation
        self.fabric = _fabric(config)
        self.network = model.network
        self.average = copy.deepcopy(model.network).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.times = NoiseTimes(config)
        self.step = 0
        self._stop = False
        wrapped, self.optimizer = self.fabric.setup(self.network, self.optimizer)
        self.average.to(self.fabric.device)
        self.model = replace(model, network=wrapped)
        self.averaged = replace(model, network=self.average)

    def fit(self, until: int | None = None) -> None:
        """Runs to config.steps, or `until`. Raises Interrupted after SIGTERM or SIGINT, once the state is saved."""
        until = self.config.steps if until is None else until
        self._forget_after(self.step)
        started, before = time.monotonic(), self.step
        with self._listening():
            while self.step < until and not self._stopping():
                row = self._update()
                last = self.step == until
                if self.step % self.config.validate_every == 0 or last:
                    row["validation"] = self.validate()
                if self.step % self.config.log_every == 0 or "validation" in row or last:
                    row["steps_per_second"] = (self.step - before) / (time.monotonic() - started)
                    self._log(row)
                if self.step % self.config.save_every == 0 or last:
                    self.save()
                self.progress(row)
        if self.step == before:  # nothing left to do, but a crash may have taken the model
            self.save()
        if self.step < until:
            self.save()
            raise Interrupted(f"stopped at step {self.step} of {self.config.steps}, saved in {self.folder}")

    def validate(self) -> float:
        """Loss of the averaged weights on the validation set, always under the same noise and times."""
        total, size, n = 0.0, self.config.batch_size, len(self.validation)
        for first in range(0, n, size):
            records = torch.arange(first, min(first + size, n))
            t = ((records * 0.6180339887498949) % 1.0).clamp(min=self.config.min_time).float()
            batch = self._batch(
                self.validation, records, t, torch.ones_like(t), Keys.of(self.config.seed, records.tolist())
            )
            with torch.no_grad(), self.fabric.autocast():
                total += losses(self.averaged, batch).sum().item()
        return total / n

    def _update(self) -> dict[str, Any]:
        """One step of the optimiser and of the average; raises before either if anything is not finite."""
        rate = learning_rate(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self._training_batch()
        self.network.train()
        with self._seeded():
            each = losses(self.model, batch)
        self._require_finite(each, batch)
        self.optimizer.zero_grad()
        self.fabric.backward(each.mean())
        norm = self._clip()
        self.optimizer.step()
        self.step += 1
        self._average()
        if self.config.times == "importance":
            self._observe(batch, each.detach() / batch.weight)
        loss = self._reduced(each.detach().mean(), "mean")
        return {"step": self.step, "loss": loss.item(), "learning_rate": rate, "gradient_norm": norm}

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Dropout and the like draw from torch's generator: make that, too, a function of (seed, step, worker)."""
        with torch.random.fork_rng():
            keys = Keys.of(self.config.seed, [self.step * self.fabric.world_size + self.fabric.global_rank])
            torch.manual_seed(int(keys.fold("layers").key))
            yield

    def _training_batch(self) -> Batch:
        size, workers = self.config.batch_size, self.fabric.world_size
        part = slice(self.fabric.global_rank * size // workers, (self.fabric.global_rank + 1) * size // workers)
        records = record_numbers(self.config.seed, self.step, size, len(self.data), self.data.sizes)[part]
        t, weight = self.times.draw(self.step)
        keys = Keys.of(self.config.seed, range(self.step * size, (self.step + 1) * size))[part].fold("train")
        batch = self._batch(self.data, records, t[part], weight[part], keys)
        null = {name: value.to(self.fabric.device) for name, value in self.model.null.items()}
        condition = hide(batch.condition, null, self.config.condition_dropout, batch.keys)
        return replace(batch, condition=condition)

    def _batch(self, data: Dataset, records: Tensor, t: Tensor, weight: Tensor, keys: Keys) -> Batch:
        x0, condition = to_device(data.batch(records)[0], self.fabric.device), data.batch(records)[1]
        device = self.fabric.device
        return Batch(
            x0,
            to_device(condition, device),
            t.to(device),
            weight.to(device),
            keys.to(device),
            records,
        )

    def _require_finite(self, each: Tensor, batch: Batch) -> None:
        wrong = (~each.isfinite()).nonzero().flatten().tolist()
        if wrong:
            named = ", ".join(f"{batch.records[i]} (t = {batch.t[i]:.4f})" for i in wrong[:5])
            raise TrainingError(
                f"step {self.step}: the loss of {len(wrong)} of {len(each)} records in batch {self.step} is not "
                f"finite: records {named}; nothing was updated, the last checkpoint is intact"
            )

    def _clip(self) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip).item()
        if not isfinite(norm):
            raise TrainingError(
                f"step {self.step}: the gradient of batch {self.step} is not finite; nothing was updated"
            )
        return norm

    def _average(self) -> None:
        """EMA with a decay that starts small, so that early steps do not linger."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
            for mean, now in zip(self.average.buffers(), self.network.buffers(), strict=True):
                mean.copy_(now)

    def _observe(self, batch: Batch, loss: Tensor) -> None:
        """All workers learn the same density, from all of the batch."""
        both = self.fabric.all_gather(torch.stack([batch.t, loss.float()]))
        assert isinstance(both, Tensor)
        t, loss = (both if both.ndim == 2 else both.movedim(0, 1).flatten(1)).cpu()
        self.times.observe(t, loss)

    def _reduced(self, value: Tensor, how: Literal["mean", "sum"]) -> Tensor:
        """The mean or sum of a number over the workers."""
        reduced = self.fabric.all_reduce(value.to(self.fabric.device), reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    def save(self) -> None:
        """Writes the training state and the averaged model, each atomically."""
        if self.fabric.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            meta = {**self.meta, "step": self.step}
            kind = self.model.kind
            checkpoints.save(self.folder / f"{kind}.safetensors", kind, self.average.state_dict(), meta)
            checkpoints.save(self.folder / "last.safetensors", "training", self._tensors(), meta)
        self.fabric.barrier()

    def _tensors(self) -> dict[str, Tensor]:
        moments = {
            f"{index}/{name}": value
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        return {
            **checkpoints.prefixed("network", self.network.state_dict()),
            **checkpoints.prefixed("average", self.average.state_dict()),
            **checkpoints.prefixed("optimizer", moments),
            "times/squares": self.times.squares,
        }

    def resume(self) -> None:
        """Takes up the run in the folder. InputError if it was another run: only RESUMABLE settings may differ."""
        path = self.folder / "last.safetensors"
        tensors, meta = checkpoints.load(path, "training")
        _require_same(self.meta, meta, path)
        checkpoints.load_into(self.network, checkpoints.under("network", tensors), path)
        checkpoints.load_into(self.average, checkpoints.under("average", tensors), path)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in checkpoints.under("optimizer", tensors).items():
            index, moment = name.split("/")
            state.setdefault(int(index), {})[moment] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.times.squares = tensors["times/squares"]
        self.step = meta["step"]

    def _log(self, row: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def _forget_after(self, step: int) -> None:
        """Drops what a crash left behind: metrics of steps that are undone, files that were never finished."""
        path = self.folder / "metrics.jsonl"
        if not self.fabric.is_global_zero:
            return
        for unfinished in self.folder.glob(".*.tmp"):
            unfinished.unlink()
        if path.exists():
            write_text(path, "".join(f"{json.dumps(row)}\n" for row in read_metrics(path) if row["step"] <= step))

    def _stopping(self) -> bool:
        """Whether any worker was asked to stop; asked together, so that all stop at the same step."""
        if self.fabric.world_size == 1:
            return self._stop
        return bool(self._reduced(torch.tensor(float(self._stop)), "sum"))

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Turns SIGTERM and SIGINT into a request to stop after this step."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(*_: object) -> None:
            self._stop = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that a crash cut short is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _fabric(config: TrainConfig) -> Fabric:
    """Fabric on one device, or on all those of a `torchrun` launch."""
    workers, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if config.batch_size % workers:
        raise InputError(f"train.batch_size {config.batch_size} is not divisible by the {workers} workers")
    strategy = "ddp" if workers > 1 else "auto"
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device is cuda: this machine has no CUDA device")
    accelerator = "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=workers // local,
        strategy=strategy,
        precision=config.precision,  # pyright: ignore[reportArgumentType]
    )
    fabric.launch()
    return fabric


def _require_same(now: dict[str, Any], saved: dict[str, Any], path: Path) -> None:
    """The run in the file must be this run."""
    ours, theirs = (
        _flat({**now["config"], "facts": now["facts"]}),
        _flat({**saved["config"], "facts": saved["facts"]}),
    )
    for name in sorted(ours.keys() | theirs.keys()):
        changeable = name.startswith("train.") and name.removeprefix("train.") in RESUMABLE
        if not changeable and ours.get(name) != theirs.get(name):
            raise InputError(
                f"{path}: was trained with {name} = {theirs.get(name)!r}, now {ours.get(name)!r}; "
                "resume with the same configuration or choose another folder"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat

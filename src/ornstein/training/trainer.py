"""One trainer for every domain: minimise E_t E_{x_t} [w(t) · loss(belief(x_t, t), x₀)] and average the weights.

Everything random is a function of (seed, step, position in the batch): nothing of a generator needs saving, a resumed
run of so many steps is the uninterrupted one bit for bit on the CPU, and the noise does not depend on how many workers
share a batch. A run of so many minutes is as long as the machine is fast, so that it repeats only roughly.
"""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from math import floor, inf
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..config import TrainConfig
from ..denoisers.energy import EnergyDenoiser
from ..disk.locks import Lock
from ..errors import InputError, Interrupted, TrainingError
from ..keys import Keys
from . import checkpoints, metrics, resuming, sharding
from .batches import learning_rate
from .datasets import Dataset
from .devices import fabric_of, machine_of, precision_of
from .feeding import Batch, Feed, Trained
from .stopping import on_signals
from .watching import Watch

Progress = Callable[[dict[str, Any]], None]
LAST = "last.safetensors"
WHOLE = Fraction(1)


def losses(model: Trained, batch: Batch) -> Float[Tensor, " batch"]:
    """The weighted loss of each record."""
    told = {"recall": batch.recall} if getattr(model, "recalls", False) else {}  # others know nothing of it
    return model.losses(batch.x0, batch.times, batch.condition, batch.keys, **told) * batch.weight


class Trainer:
    """Trains a denoiser or a regressor on a data set in a run folder.

    The folder holds last.safetensors (everything a resume needs), KIND.safetensors (the averaged weights; "model" of a
    denoiser, "regressor") and metrics.jsonl. `meta` is what the model's file says of itself.

    Attributes:
        feed: the batches; `feed.data` is what is learned from.
        step: how many updates were made.
        seconds: how long they took, with validations and checkpoints, before and after a resume.
        precision: the arithmetic that was chosen, as the checkpoints say.
        lock: held while it trains: one training at a time in a folder.
        watch: whether the steps were finite.
        look_every: steps after which that is asked, and the numbers of a row are new: a GPU would wait for each answer.
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
        stop: threading.Event | None = None,
    ) -> None:
        """progress: is called with a row of metrics after every step.
        stop: asks to stop when it is set, as `cancel` does.
        """
        if config.strategy == "fsdp" and isinstance(model, EnergyDenoiser):
            raise InputError("train.strategy is fsdp, which does not train energies, differentiated twice: take ddp")
        self.config, self.folder, self.progress = config, folder, progress
        self.precision = precision_of(config)
        self.meta = {**meta, "precision": self.precision, "machine": machine_of(config)}
        self.fabric = fabric_of(config, some_unused=getattr(model, "recalls", False))
        self.feed = Feed(model, data, validation, config, self.fabric)
        self.network = model.network
        self.average = copy.deepcopy(model.network).requires_grad_(False).eval()
        self.step, self.seconds = 0, 0.0
        must = self.fabric.device.type == "cpu" or config.times == "importance"  # which follows the losses of each step
        self.look_every = 1 if must else config.log_every
        self.lock = Lock(folder, "training")
        self._stop = stop or threading.Event()
        wrapped = self.fabric.setup_module(self.network)
        sharding.place_as_trained(self.average, self.fabric)
        self.watch = Watch(self.fabric.device)
        self.optimizer = self._adam()
        self.model = replace(model, network=wrapped)
        self.averaged = replace(model, network=self.average)

    def _adam(self) -> torch.optim.Optimizer:
        """The optimiser of this worker's weights, which takes no step that is not finite."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        adam = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=decay, fused=True)
        adam.found_inf = self.watch.harm  # pyright: ignore[reportAttributeAccessIssue] # a fused step heeds it
        optimizer = self.fabric.setup_optimizers(adam)
        assert isinstance(optimizer, torch.optim.Optimizer)
        return optimizer

    def cancel(self) -> None:
        """Asks for a stop after the step that is at work; from any thread, at any time."""
        self._stop.set()

    def fit(self, share: Fraction = WHOLE) -> None:
        """Trains until this share of the steps, or of the minutes, is done.

        Raises Interrupted after `cancel`, SIGTERM or SIGINT, once the state is saved; InputError if another training
        is at work in the folder.
        """
        with self.held(), on_signals(self.cancel):
            if self.fabric.is_global_zero:
                metrics.forget_after(self.folder, self.step)
            with self.feed.ahead(self._end(share)):
                saved = self._steps(share)
            if not saved:  # nothing was left to do, but a crash may have taken the model; or it was asked to stop
                self.save()
            if self._stopping() and not self.reached(WHOLE):
                self._stop.clear()
                raise Interrupted(f"stopped at step {self._done()}, saved in {self.folder}")

    def reached(self, share: Fraction) -> bool:
        """Whether this share of the steps, or of the minutes, is done."""
        if self.config.minutes is None:
            return self.step >= self._end(share)
        return self.seconds >= 60 * self.config.minutes * share

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock of the folder, by the first worker for all; may be entered again within itself."""
        if not self.fabric.is_global_zero:
            yield
            return
        with self.lock:
            yield

    def _steps(self, share: Fraction) -> bool:
        """Steps until the share is reached or a stop is asked for; returns whether the last of them was saved."""
        started, first, earlier = time.monotonic(), self.step, self.seconds
        saved = False
        while not self.reached(share) and not self._stopping():
            row = self._update()
            spent = time.monotonic() - started
            self.seconds = self._agreed(earlier + spent)
            last = self.reached(share)
            if self.config.minutes is not None:
                row["minutes"] = self.seconds / 60
            logged = self.step % self.config.log_every == 0 or last
            if logged or self.step % self.config.validate_every == 0:
                row |= self._look()
            if self.step % self.config.validate_every == 0 or last:
                row["validation"] = self.validate()
            if logged or "validation" in row:
                row["steps_per_second"] = (self.step - first) / (time.monotonic() - started)
                self._log(row)
            saved = self.step % self.config.save_every == 0 or last
            if saved:
                self.save()
            self.progress(row)
        return saved

    def _end(self, share: Fraction) -> float:
        """The step at which this share is done; infinite where the time decides."""
        return floor(self.config.steps * share) if self.config.minutes is None else inf

    def _done(self) -> str:
        """How far the training is, in words."""
        if self.config.minutes is None:
            return f"{self.step} of {self.config.steps}"
        return f"{self.step}, after {self.seconds / 60:.1f} of {self.config.minutes:g} minutes"

    def validate(self) -> float:
        """Loss of the averaged weights on the validation set, always under the same noise and times."""
        total = 0.0
        for batch in self.feed.held_out():
            with torch.no_grad(), self.fabric.autocast():
                total += losses(self.averaged, batch).sum().item()
        return total / len(self.feed.judged)

    def _update(self) -> dict[str, Any]:
        """One step of the optimiser and of the average, neither of which moves if anything is not finite."""
        rate = learning_rate(self.config, self.step, self.seconds)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.feed.training(self.step)
        self.network.train()
        with self._seeded():
            each = losses(self.model, batch)
        self.optimizer.zero_grad()
        self.fabric.backward(each.mean())
        norm = sharding.whole(torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip))
        each = each.detach()
        self.watch.note(self.step, batch, each, self._reduced(each.mean(), "mean"), norm)
        self.optimizer.step()
        self.step += 1
        self._average()
        if self.step % self.look_every == 0 or not self.watch.known:
            self._look()
        if self.config.times == "importance":
            self._observe(batch, each / batch.weight)
        return {"step": self.step, "learning_rate": rate, **self.watch.known}

    def _look(self) -> dict[str, float]:
        """Loss and norm of the gradient of the last step; goes back to the last good step and raises if one was bad."""
        try:
            return self.watch.look()
        except TrainingError:
            self.step = self.watch.first_bad
            raise

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Dropout and the like draw from torch's generator: make that, too, a function of (seed, step, worker)."""
        with torch.random.fork_rng():
            keys = Keys.of(self.config.seed, [self.step * self.fabric.world_size + self.fabric.global_rank])
            torch.manual_seed(int(keys.fold("layers").key))
            yield

    def _average(self) -> None:
        """EMA with a decay that starts small, so that early steps do not linger."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            means, now = ([sharding.own(w) for w in each.parameters()] for each in (self.average, self.network))
            _towards(means, now, (1 - decay) * (1 - self.watch.harm))
            for mean, own in zip(self.average.buffers(), self.network.buffers(), strict=True):
                mean.copy_(torch.where(self.watch.harm > 0, mean, own))

    def _observe(self, batch: Batch, loss: Tensor) -> None:
        """All workers learn the same density, from all of the batch."""
        both = self.fabric.all_gather(torch.stack([batch.t, loss.float()]))
        assert isinstance(both, Tensor)
        t, loss = (both if both.ndim == 2 else both.movedim(0, 1).flatten(1)).cpu()
        self.feed.times.observe(t, loss)

    def _reduced(self, value: Tensor, how: Literal["mean", "sum"]) -> Tensor:
        """The mean or sum of a number over the workers."""
        reduced = self.fabric.all_reduce(value.to(self.fabric.device), reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    def _agreed(self, seconds: float) -> float:
        """The time that has passed, on which all workers must agree where the schedule follows it."""
        if self.fabric.world_size == 1 or self.config.minutes is None:
            return seconds
        return self._reduced(torch.tensor(seconds, dtype=torch.float64), "mean").item()

    def _stopping(self) -> bool:
        """Whether any worker was asked to stop; asked together, so that all stop at the same step."""
        if self.fabric.world_size == 1:
            return self._stop.is_set()
        return bool(self._reduced(torch.tensor(float(self._stop.is_set())), "sum"))

    def _log(self, row: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            metrics.append_row(self.folder, row)

    def save(self) -> None:
        """Writes the training state and the averaged model, each atomically; TrainingError first, if a step was bad."""
        self._look()
        tensors = resuming.tensors_of(self.network, self.average, self.optimizer, self.feed.times.squares)
        tensors = sharding.collected(tensors, keep=self.fabric.is_global_zero)
        if self.fabric.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            meta = {**self.meta, "step": self.step}
            if self.config.minutes is not None:
                meta["seconds"] = self.seconds
            kind = self.model.kind
            checkpoints.save(self.folder / f"{kind}.safetensors", kind, checkpoints.under("average", tensors), meta)
            checkpoints.save(self.folder / LAST, "training", tensors, meta)
        self.fabric.barrier()

    def resume(self) -> list[str]:
        """Takes up the run in the folder; returns sentences on what is otherwise from here on.

        InputError if it was another run: only RESUMABLE settings may differ.
        """
        path = self.folder / LAST
        tensors, meta = checkpoints.load(path, "training", resuming.SCHEMA)
        resuming.require_same(self.meta, meta, path)
        resuming.load_tensors(tensors, self.network, self.average, self.optimizer, self.feed.times.squares, path)
        self.step, self.seconds = meta["step"], meta.get("seconds") or 0.0
        return resuming.changes(self.config, self.precision, meta, path)


def _towards(means: list[Tensor], now: list[Tensor], share: Tensor) -> None:
    """means += share · (now − means): a few kernels on a GPU, one pass over the memory of a CPU.

    Args:
        means: are changed.
        now: of the same shapes.
        share: a number, on their device.
    """
    if means and share.is_cuda:
        moves = torch._foreach_sub(now, means)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_mul_(moves, share)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(means, moves)  # pyright: ignore[reportPrivateImportUsage]
        return
    for mean, own in zip(means, now, strict=True):
        mean.lerp_(own, share)

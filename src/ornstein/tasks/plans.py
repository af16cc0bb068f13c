"""What is planned after a training, for the model that came out of it, and is saved with its weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from .. import events
from ..denoisers.base import NeuralDenoiser
from ..keys import Keys
from ..sampling import grids, path_plans
from ..training import checkpoints
from ..training.datasets import Dataset


def plan_grids(
    path: Path,
    model: NeuralDenoiser,
    data: Dataset,
    steps: Sequence[int],
    pilots: int = 64,
    rounds: int = 20,
    callback: Callable[[events.Event], object] = lambda event: None,
) -> None:
    """Plans the model's time grids on pilot samples with conditions from the data, and saves them with its weights.

    Args:
        path: of the file.
        model: what it holds.
        steps: intervals of the time grid.
        pilots: samples with which the grids are planned.
        rounds: steps of the optimiser.
        callback: called with every event, for progress.
    """
    tensors, meta = checkpoints.load(path, "model")
    keys = Keys.of(1_000_003, pilots)
    condition = data.batch(keys.uniform().mul(len(data)).long())[1]
    planned, total = {}, sum(steps)
    walks = model.space.schedule_and_std is not None and not model.one_step
    for k, n in enumerate(steps if walks else ()):
        planning = grids.plan.events(model, n, keys, condition, rounds=rounds)
        planned[n] = events.finished(events.part(planning, sum(steps[:k]), n, total, "planning time grids"), callback)
    checkpoints.save(path, "model", tensors, {**meta, "grids": planned})


def plan_path(
    path: Path,
    model: NeuralDenoiser,
    data: Dataset,
    steps: int,
    pilots: int = 256,
    callback: Callable[[events.Event], object] = lambda event: None,
) -> path_plans.PlannedPath:
    """Plans the path through the times of a model's two parts on records of the data, and saves it with the weights.

    Args:
        path: of the file.
        model: what it holds.
        data: what the model learned from, or has not seen.
        steps: of the sampler.
        pilots: records, the first of a random order; all where there are fewer.
        callback: called with every event, for progress.
    """
    tensors, meta = checkpoints.load(path, "model")
    keys = Keys.of(1_000_003, min(pilots, len(data)))
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(1_000_003))[: len(keys)]
    x0, condition = data.batch(chosen)
    exist = {name: value for name, value in condition.items() if name == "mask"}  # samples are told no more by default
    found = events.finished(path_plans.plan_path.events(model, steps, x0, keys, exist), callback)
    checkpoints.save(path, "model", tensors, {**meta, "path": found.path.record()})
    return found

"""What a checkpoint holds so that a resumed training goes on bit for bit, and whether it is of the same training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import RESUMABLE, TrainConfig, update
from ..errors import InputError
from . import checkpoints
from .batches import learning_rate

SCHEMA = {"config": dict, "facts": dict, "step": int, "seconds?": float, "precision?": str}
"""What the header of a training's checkpoint says."""


def tensors_of(
    network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, squares: Tensor
) -> dict[str, Tensor]:
    """Weights, averaged weights, moments of AdamW and what is known of the loss at each time, by name.

    Args:
        network: the network in training.
        average: the running average of the weights.
        optimizer: its optimiser.
        squares: running mean of the squared loss by noise level.
    """
    moments = {
        f"{index}/{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    return {
        **checkpoints.prefixed("network", network.state_dict()),
        **checkpoints.prefixed("average", average.state_dict()),
        **checkpoints.prefixed("optimizer", moments),
        "times/squares": squares,
    }


def load_tensors(
    tensors: Mapping[str, Tensor],
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    squares: Tensor,
    path: Path,
) -> None:
    """Takes up what `tensors_of` gave; InputError naming what is missing or of another shape.

    Args:
        tensors: name → tensor of the checkpoint.
        network: the network in training.
        average: the running average of the weights.
        optimizer: its optimiser.
        squares: running mean of the squared loss by noise level.
        path: of the file.
    """
    checkpoints.load_into(network, checkpoints.under("network", tensors), path)
    checkpoints.load_into(average, checkpoints.under("average", tensors), path)
    state = _moments(tensors, list(network.parameters()), path)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    squares.copy_(checkpoints.tensor(tensors, "times/squares", squares, path))


def _moments(tensors: Mapping[str, Tensor], parameters: list[nn.Parameter], path: Path) -> dict[int, dict[str, Tensor]]:
    """The state of AdamW, parameter by parameter; those that never had a gradient have none."""
    state: dict[int, dict[str, Tensor]] = {}
    left = {name for name in tensors if name.startswith("optimizer/")}
    for index, parameter in enumerate(parameters):
        expected = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
        names = {f"optimizer/{index}/{name}": name for name in expected}
        if left & names.keys():
            state[index] = {name: checkpoints.tensor(tensors, at, expected[name], path) for at, name in names.items()}
        left -= names.keys()
    if left:
        raise InputError(f"{path}: has a tensor {min(left)!r} that this network does not")
    return state


def require_same(now: Mapping[str, Any], saved: Mapping[str, Any], path: Path) -> None:
    """InputError, if the training in the file was another: only RESUMABLE settings may differ.

    Args:
        now: the configuration of this run.
        saved: the configuration in the checkpoint.
        path: of the file.
    """
    ours, theirs = (_flat({**meta["config"], "facts": meta["facts"]}) for meta in (now, saved))
    for name in sorted(ours.keys() | theirs.keys()):
        changeable = name.startswith("train.") and name.removeprefix("train.") in RESUMABLE
        if not changeable and ours.get(name) != theirs.get(name):
            raise InputError(
                f"{path}: was trained with {name} = {theirs.get(name)!r}, now {ours.get(name)!r}; "
                "resume with the same configuration or choose another folder"
            )


JUMP = 1.5  # a learning rate that changes by more than this factor is told of


def changes(now: TrainConfig, precision: str, saved: Mapping[str, Any], path: Path) -> list[str]:
    """Sentences on what will be otherwise than before the checkpoint: the learning rate, the arithmetic.

    Args:
        now: the settings with which the training goes on.
        precision: the arithmetic with which it goes on.
        saved: the header of the checkpoint.
        path: of the file.
    """
    found = []
    before = saved.get("precision") or precision
    if before != precision:
        found.append(f"the arithmetic was {before} and is {precision} from here on (train.precision)")
    step, seconds, settings = saved["step"], saved.get("seconds") or 0.0, saved["config"].get("train")
    if step and isinstance(settings, dict):
        was = update(TrainConfig(), settings, f"{path}: config: train")
        old, new = (learning_rate(config, step - 1, seconds) for config in (was, now))
        if not old / JUMP <= new <= old * JUMP:
            found.append(
                f"the learning rate ended at {old:.2g}, by its schedule over {was.length}, and goes on from {new:.2g}, "
                f"by that over {now.length}: what the small one had settled is stirred up again; to go on as it "
                "ended, plan the whole length at the start or train with decay = constant"
            )
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat

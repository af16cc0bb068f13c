"""Where a training runs: one device, or all those of a `torchrun` launch."""

import os
from typing import TYPE_CHECKING, Any

import torch

from ..config import TrainConfig
from ..errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    Fabric = Any  # it loads torch's compiler, a second and more that only a training should cost


def fabric_of(config: TrainConfig) -> Fabric:
    """Fabric on the devices of this launch; InputError if they are not there or cannot share a batch."""
    workers, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if config.batch_size % workers:
        raise InputError(f"train.batch_size {config.batch_size} is not divisible by the {workers} workers")
    from lightning_fabric import Fabric

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

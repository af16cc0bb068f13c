"""Where a training runs, one device or all those of a `torchrun` launch, and in which arithmetic."""

import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..config import TrainConfig
from ..errors import InputError
from .sharding import sharded_over

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.strategy import Strategy
else:
    Fabric = Any  # it loads torch's compiler, a second and more that only a training should cost

BF16_UNITS = frozenset({"avx512_bf16", "amx_bf16"})
"""What a CPU that multiplies in bfloat16 says of itself, one of them or both."""
PAYS = 0.8
"""The share of the time of float32 under which bfloat16 is taken on a CPU: below it the casts, too, are paid for."""


def fabric_of(config: TrainConfig, some_unused: bool = False) -> Fabric:
    """Fabric on the devices of this launch; InputError if they are not there or cannot share a batch.

    Args:
        config: the batch, the device and the arithmetic.
        some_unused: not every batch uses all weights, so that workers have to look which of them have a gradient.
    """
    workers, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if workers == 1 and config.strategy != "auto":
        raise InputError(
            f"train.strategy is {config.strategy}, for a training by several processes: start them with torchrun, or "
            "take auto"
        )
    if config.batch_size % workers:
        raise InputError(f"train.batch_size {config.batch_size} is not divisible by the {workers} workers")
    from lightning_fabric import Fabric

    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device is cuda: this machine has no CUDA device")
    fabric = Fabric(
        accelerator=_accelerator(config),
        devices=local,
        num_nodes=workers // local,
        strategy=_strategy(config, workers, some_unused),
        precision=precision_of(config),  # pyright: ignore[reportArgumentType]
    )
    fabric.launch()
    return fabric


def _strategy(config: TrainConfig, workers: int, some_unused: bool) -> "str | Strategy":
    """How the workers share the training: each with all of the network (DDP) or with a part of its weights (FSDP)."""
    if workers == 1:
        return "auto"
    if config.strategy == "fsdp":
        return sharded_over(workers)
    return "ddp_find_unused_parameters_true" if some_unused else "ddp"


def _accelerator(config: TrainConfig) -> str:
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


def machine_of(config: TrainConfig) -> str:
    """The name of the GPU that is trained on, or how many cores."""
    return torch.cuda.get_device_name() if _accelerator(config) == "cuda" else f"{torch.get_num_threads()} CPU cores"


def precision_of(config: TrainConfig) -> str:
    """The arithmetic of the network: what the configuration says, or with "auto" what is fast on this machine."""
    if config.precision != "auto":
        return config.precision
    on_gpu = _accelerator(config) == "cuda"
    fast = torch.cuda.get_device_capability()[0] >= 8 if on_gpu else bf16_pays()
    return "bf16-mixed" if fast else "32-true"


def of_precision(config: TrainConfig) -> str:
    """A sentence for the user: the arithmetic that was chosen, or what the one that was asked for costs here."""
    where, chosen = _accelerator(config), precision_of(config)
    if config.precision == "auto":
        return f"arithmetic: {chosen}, chosen for this {_machine(where)} (train.precision = auto)"
    slower = bf16_slowdown() if where == "cpu" and chosen == "bf16-mixed" else 1.0
    warning = f"; on this CPU bf16 takes {slower:.1f} times as long as 32-true: take auto" if slower > 1.2 else ""
    return f"arithmetic: {chosen}{warning}"


def _machine(where: str) -> str:
    """What is trained on and, for a CPU, what is known of its bf16."""
    if where == "cuda":
        return "GPU"
    if not bf16_units():
        return "CPU, which has no bf16 units"
    return f"CPU, whose products in bf16 take {_slowdown():.2f} of the time of float32"


def bf16_pays() -> bool:
    """Whether this CPU has units for bfloat16 and is clearly faster in it, as measured once a process."""
    return bf16_units() and _slowdown() < PAYS


@cache
def bf16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU says that it multiplies in bfloat16; no where it says nothing.

    Args:
        cpuinfo: what Linux says of the processors, a line "flags : …" each.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = [set(line.partition(":")[2].split()) for line in lines if line.partition(":")[0].strip() == "flags"]
    return bool(flags) and all(BF16_UNITS & each for each in flags)


@cache
def _slowdown() -> float:
    """Measured once, so that all of a process trains in one arithmetic."""
    return bf16_slowdown()


def bf16_slowdown(size: int = 256, repeats: int = 5) -> float:
    """How many times as long as in float32 a product of two matrices takes in bfloat16 on this CPU, measured now.

    Args:
        size: of the matrices.
        repeats: products of each kind, of which the fastest counts.
    """
    single = torch.ones(size, size)
    half = single.bfloat16()
    return _fastest(half, repeats) / _fastest(single, repeats)


def _fastest(x: torch.Tensor, repeats: int) -> float:
    """Seconds of the fastest x @ x, after one that warms up."""
    seconds = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        _ = x @ x
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])

"""Trainings that two processes share by FSDP, for tests: torchrun --nproc-per-node 2 sharded_training.py FOLDER.

FOLDER/one-then-fsdp holds the first half of a training by one process. Each process writes what it saw of its own
parts, FOLDER/seen-RANK.json.
"""

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from molecular_training import TOGETHER, molecular
from ornstein import Euclidean, Keys, NeuralDenoiser, Traits
from ornstein.config import TrainConfig, to_dict
from ornstein.errors import Interrupted, TrainingError
from ornstein.networks import (
    MLP,
    Encoder,
    MLPConfig,
    ParticleNetwork,
    ParticleNetworkConfig,
    PatchTransformer,
    PatchTransformerConfig,
    Transformer,
    TransformerConfig,
    UNet,
    UNetConfig,
)
from ornstein.networks.fields import Fields
from ornstein.networks.linear import LinearUNet
from ornstein.training import sharding
from ornstein.training.datasets import Arrays
from ornstein.training.trainer import Trainer
from small_training import CONFIG, data

HALF = Fraction(1, 2)
ONE = replace(CONFIG, steps=20, validate_every=5, save_every=10, clip=0.3, weight_decay=0.1)
DDP, FSDP = replace(ONE, strategy="ddp"), replace(ONE, strategy="fsdp")
BAD = 37
"""The record whose loss is not finite, where there is one."""


class Layered(nn.Module):
    """Layers in a list, whose widths two workers cannot share evenly, and a buffer; on points, times and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 31), nn.Linear(31, 2)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(31, 33), nn.SiLU(), nn.Linear(33, 31)) for _ in range(3))
        self.register_buffer("scale", torch.tensor([0.5]))

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        x = self.first(torch.cat([x, t[:, None], condition["label"].float()[:, None]], -1))
        for layer in self.layers:
            x = x + self.scale * layer(x)
        return self.last(x)


def layered(folder: Path, config: TrainConfig, records: Arrays | None = None, **changes: Any) -> Trainer:
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = Layered()
    denoiser = NeuralDenoiser(network, Traits(Euclidean((2,))), {"label": torch.tensor(-1)})
    meta = {"domain": "tests", "name": "layered", "config": {"train": to_dict(config)}, "facts": {}}
    return Trainer(denoiser, records or data(), data(40, 1), config, folder, meta, **changes)


def resumed(folder: Path, config: TrainConfig) -> Trainer:
    """The training in the folder, to its end."""
    run = layered(folder, config)
    run.resume()
    run.fit()
    return run


def sizes(run: Trainer) -> dict[str, list[int]]:
    """Numbers of this process, and of the whole: of weights, gradients, their average, and moments."""
    weights = list(run.network.parameters())
    moments = [state[name] for state in run.optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    held = {"weights": weights, "gradients": gradients, "average": list(run.average.parameters()), "moments": moments}
    return {
        name: [sum(sharding.own(one).numel() for one in each), sum(one.numel() for one in each)]
        for name, each in held.items()
    }


@contextmanager
def clipped_locally() -> Iterator[None]:
    """A broken twin: says the norm of the whole gradient, but clips by that of the process's own part."""
    right = torch.nn.utils.clip_grad_norm_

    def wrong(parameters: Any, most: float) -> Tensor:
        gradients = [weight.grad for weight in parameters]
        norm = torch.nn.utils.get_total_norm(gradients)
        parts = [sharding.own(gradient) for gradient in gradients]
        local = torch.nn.utils.get_total_norm(parts)
        for part in parts:
            part.mul_((most / (local + 1e-6)).clamp(max=1))
        return norm

    torch.nn.utils.clip_grad_norm_ = wrong
    try:
        yield
    finally:
        torch.nn.utils.clip_grad_norm_ = right


def stopped(folder: Path, config: TrainConfig) -> int:
    """A training that one of the processes is asked to stop after ten steps; the step at which it was saved."""

    def stop(row: dict[str, Any]) -> None:
        if row["step"] == 10 and run.fabric.global_rank == 1:
            run.cancel()

    run = layered(folder, config, progress=stop)
    try:
        run.fit()
    except Interrupted:
        return run.step
    return -1


def not_finite(folder: Path) -> dict[str, Any]:
    """What a record without a finite loss, which one of the processes meets, does to the training."""
    records = data()
    assert isinstance(records.x, Tensor)
    records.x[BAD] = 1e30
    config, said = replace(FSDP, decay="constant"), ""
    run = layered(folder / "bad", config, records)
    try:
        run.fit()
    except TrainingError as error:
        said = str(error)
    twin = layered(folder / "good", replace(config, steps=run.step))
    twin.fit()
    return {"said": said, "step": run.step, "same": same_parts(run, twin)}


def same_parts(one: Trainer, other: Trainer) -> bool:
    """Whether this process's parts of weights, average and moments are equal bit for bit."""

    def parts(run: Trainer) -> list[Tensor]:
        moments = [state[name] for state in run.optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
        return [*map(sharding.own, (*run.network.parameters(), *run.average.parameters(), *moments))]

    return all(map(torch.equal, parts(one), parts(other)))


# Networks ---------------------------------------------------------------------------------------------


def normal(seed: int, *shape: int) -> Tensor:
    return Keys.of(seed, 2).normal(*shape).float()


def networks() -> dict[str, tuple[nn.Module, tuple[Any, ...]]]:
    """A network of each kind, and what it may be called with."""
    unet, t = UNetConfig(16, (1, 2), 1, (0, 1), patch=2), torch.tensor([0.1, 0.9])
    told = {"label": torch.tensor([0, 1]), "caption": normal(1, 5, 8)}
    patches, particles = PatchTransformerConfig(32, 2, 4, 4), ParticleNetworkConfig(width=16, layers=2, radial=8)
    field = Fields(1, conditions={"source": 2})
    return {
        "unet": (UNet(unet, 3, 2, 8), (normal(0, 3, 16, 16), t, told)),
        "patches": (PatchTransformer(patches, 3, 2, 8), (normal(0, 3, 16, 16), t, told)),
        "linear": (
            LinearUNet(UNetConfig(4, (1, 2), 1, ()), field),
            (normal(0, 1, 8, 8), t, {"source": normal(2, 2, 8, 8)}),
        ),
        "perceptron": (MLP(MLPConfig(16, 2), (4,)), (normal(0, 4), t, {})),
        "particles": (ParticleNetwork(particles), (normal(0, 5, 3), t, {})),
        "transformer": (Transformer(TransformerConfig(16, 2, 2), 14, 5, 4), ((normal(0, 7) > 0).long(), t, {})),
        "encoder": (Encoder(unet, 3, 5), (normal(0, 3, 16, 16),)),
    }


def differences(run: Trainer) -> dict[str, float]:
    """How far the gradients of sharded networks are from those of whole ones, over the norm of these."""
    found = {}
    torch.manual_seed(0)
    for name, (network, inputs) in networks().items():
        with torch.no_grad():
            for weight in network.parameters():  # away from their start, where much is 0
                weight.add_(0.1 * torch.randn_like(weight))
        alone = copy.deepcopy(network)
        shared = run.fabric.setup_module(network)
        for each in (alone, shared):
            out = each(*inputs)
            torch.stack([part.square().mean() for part in (out if isinstance(out, tuple) else (out,))]).sum().backward()
        pairs = zip(network.parameters(), alone.parameters(), strict=True)
        known = [(sharding.whole(a.grad), b.grad) for a, b in pairs if a.grad is not None and b.grad is not None]
        norm, apart = (
            torch.nn.utils.get_total_norm(each) for each in ([b for _, b in known], [a - b for a, b in known])
        )
        found[name] = float(apart / norm)
    return found


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    run = layered(folder / "fsdp", FSDP)
    run.fit()
    seen: dict[str, Any] = {"sizes": sizes(run)}
    for first, second in ((FSDP, DDP), (DDP, FSDP)):
        both = folder / f"{first.strategy}-then-{second.strategy}"
        layered(both, first).fit(HALF)
        resumed(both, second)
    seen["stopped"] = stopped(folder / "fsdp-then-one", FSDP)
    resumed(folder / "one-then-fsdp", FSDP)
    molecular(folder / "molecules", replace(TOGETHER, strategy="fsdp")).fit()
    with clipped_locally():
        layered(folder / "clipped-locally", FSDP).fit()
    seen |= {"bad": not_finite(folder), "gradients": differences(run)}
    (folder / f"seen-{run.fabric.global_rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()

"""Pictures a second of training, beside denoising-diffusion-pytorch.

python -m benchmarks.pictures_training [--batch 32] [--rounds 7] [--threads 1] [--pair alike trained] [--out FILE]

Both make their own update of the weights from pictures in memory, 32 × 32 in three colours: ours is `Trainer`'s, theirs
what their `Trainer` does (loss of `GaussianDiffusion`, clipped gradient, optimiser, `EMA`), both with AdamW; their own
random flips and reading of files are left out. Two pairs of networks have the same number of weights, within 3 %:

    alike      their documented Unet(64, (1, 2, 4, 8)) and ours with the same levels, two blocks a level and full
               attention at the coarsest; theirs has linear attention at the others, too
    trained    ours as recipes/openmoji.toml trains it, without captions, which takes 2 × 2 pixels at once, and their
               Unet(64, (1, 2, 2, 2))

each in float32 and under bf16 autocast. Single steps of all contenders take turns; seconds are CPU-seconds, which other
programs on the machine disturb less, and their medians (so that their average of the weights, which is updated every
tenth step, costs nothing). What a step teaches is not compared here.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import ornstein as on
from ornstein.config import TrainConfig, read_toml, update
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.networks import UNet, UNetConfig
from ornstein.training.datasets import Arrays
from ornstein.training.trainer import Trainer

SIDE, COLOURS, RECORDS = 32, 3, 256
RECIPE = Path(on.__file__).parent / "domains" / "images" / "recipes" / "openmoji.toml"
RATE = 1e-4


@dataclass(frozen=True)
class Contender:
    """A network in training.

    Attributes:
        whose: "ours" or "theirs".
        name: the network's.
        bf16: under autocast.
        weights: how many.
        step: one update of the weights.
    """

    whose: str
    name: str
    bf16: bool
    weights: int
    step: Callable[[], object]


def recipe() -> UNetConfig:
    """The network that openmoji.toml trains."""
    return update(UNetConfig(), read_toml(RECIPE)["network"], "network")


PAIRS: Mapping[str, tuple[Callable[[], UNetConfig], tuple[int, ...]]] = {
    "alike": (lambda: UNetConfig(48, (1, 2, 4, 8), 2, (3,)), (1, 2, 4, 8)),
    "trained": (recipe, (1, 2, 2, 2)),
}
"""Our network and the multipliers of theirs."""


def ours(config: UNetConfig, batch: int, bf16: bool, folder: Path) -> Contender:
    """Our trainer's update."""
    torch.manual_seed(0)
    network = UNet(config, COLOURS)
    settings = TrainConfig(
        batch_size=batch, learning_rate=RATE, precision="bf16-mixed" if bf16 else "32-true", device="cpu"
    )
    model = NeuralDenoiser(network, on.Traits(on.Euclidean((COLOURS, SIDE, SIDE), data_std=0.5)))
    data = Arrays(2 * pictures() - 1)
    trainer = Trainer(model, data, data, settings, folder, {})
    name = f"UNet({config.channels}, {config.multipliers}, {config.blocks}, {config.attention}, patch={config.patch})"
    return Contender("ours", name, bf16, count(network), trainer._update)


def theirs(multipliers: tuple[int, ...], batch: int, bf16: bool) -> Contender:
    """The update in their Trainer.train."""
    torch.manual_seed(0)
    peer = library()
    network = peer.Unet(64, dim_mults=multipliers)
    model = peer.GaussianDiffusion(network, image_size=SIDE)
    average = peer.EMA(model, beta=0.995, update_every=10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99))
    data = pictures()
    model.train()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(data[torch.randint(len(data), (batch,))])
        loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update()

    return Contender("theirs", f"Unet(64, {multipliers})", bf16, count(network), step)


def library() -> Any:
    """denoising-diffusion-pytorch. It imports torchvision for reading and writing files, which is not done here."""
    if "torchvision" not in sys.modules:
        vision = ModuleType("torchvision")
        vision.__dict__.update(transforms=ModuleType("transforms"), utils=ModuleType("utils"))
        sys.modules["torchvision"] = vision
    from denoising_diffusion_pytorch import denoising_diffusion_pytorch  # pyright: ignore[reportMissingImports]

    return denoising_diffusion_pytorch


def pictures() -> Tensor:
    """Noise from 0 to 1: what is in a picture costs nothing."""
    return torch.rand(RECORDS, COLOURS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def seconds(steps: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median CPU-seconds of each, taken in turn; a round before them is left out."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds + 1):
        for each, step in zip(times, steps, strict=True):
            started = time.process_time()
            step()
            each.append(time.process_time() - started)
    return [median(each[1:]) for each in times]


def rows(pair: str, contenders: Sequence[Contender], costs: Sequence[float], batch: int) -> list[dict[str, Any]]:
    """One row a contender: how many times as many pictures a second as theirs, in float32 and at their best."""
    theirs = {c.bf16: cost for c, cost in zip(contenders, costs, strict=True) if c.whose == "theirs"}
    return [
        {
            "pair": pair,
            "whose": contender.whose,
            "network": contender.name,
            "weights": contender.weights,
            "precision": "bf16" if contender.bf16 else "float32",
            "batch": batch,
            "cpu_seconds_a_step": round(cost, 4),
            "pictures_a_cpu_second": round(batch / cost, 2),
            "times_theirs_float32": round(theirs[False] / cost, 3),
            "times_theirs_best": round(min(theirs.values()) / cost, 3),
        }
        for contender, cost in zip(contenders, costs, strict=True)
    ]


def measured(pair: str, batch: int, rounds: int) -> list[dict[str, Any]]:
    """The rows of one pair of networks."""
    config, multipliers = PAIRS[pair]
    with tempfile.TemporaryDirectory() as folder:
        contenders = [theirs(multipliers, batch, bf16) for bf16 in (False, True)]
        contenders += [ours(config(), batch, bf16, Path(folder)) for bf16 in (False, True)]
        require_equal(contenders)
        return rows(pair, contenders, seconds([contender.step for contender in contenders], rounds), batch)


def require_equal(contenders: Sequence[Contender], within: float = 0.03) -> None:
    """ValueError, if some have more weights than others."""
    few, many = min(c.weights for c in contenders), max(c.weights for c in contenders)
    if many > few * (1 + within):
        raise ValueError(f"networks of {few:,} and {many:,} weights are not compared")


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """The rows, for people."""
    lines = ["pair     whose   precision     weights  s a step  pictures/s  × theirs, float32  × theirs, best"]
    lines += [
        f"{row['pair']:<7}  {row['whose']:<6}  {row['precision']:<9}  {row['weights']:>10,}  "
        f"{row['cpu_seconds_a_step']:>8.3f}  {row['pictures_a_cpu_second']:>10.1f}  "
        f"{row['times_theirs_float32']:>17.2f}  {row['times_theirs_best']:>14.2f}"
        for row in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pair", choices=list(PAIRS), nargs="+", default=list(PAIRS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pictures_training.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = {
        "threads": options.threads,
        "rounds": options.rounds,
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }
    found = [row for pair in options.pair for row in measured(pair, options.batch, options.rounds)]
    print(table(found))
    with options.out.open("a") as file:
        file.writelines(json.dumps({**row, **run}) + "\n" for row in found)


if __name__ == "__main__":
    main()

"""Samples a second of a diffusers network, by diffusers' own pipelines and by our samplers.

python -m benchmarks.pictures_sampling [--batch 8] [--steps 20] [--rounds 7] [--threads 1] [--out FILE]

The same random weights are walked by both, with as many evaluations of the network, in float32:

    deterministic    DDIMPipeline with η = 0, and ours: DDIM on the same times, and the default solver
    ancestral        DDIMPipeline with η = 1, and ours
    guided           a conditional UNet under classifier-free guidance: the loop of diffusers' pipelines, which takes
                     both evaluations as one batch, and ours, which takes them one after the other

DDPMPipeline takes DDIM's steps at η = 1, one for one. All take turns; seconds are CPU-seconds, medians over the rounds.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from benchmarks.pictures_training import count, seconds
from torch import Tensor

import ornstein as on
from ornstein.denoisers.base import Denoiser
from ornstein.denoisers.diffusers import wrapped

LEVELS, SCALE, WORDS, WIDTH = 1000, 7.5, 16, 64
FIRST = {"deterministic": "DDIMPipeline", "ancestral": "DDIMPipeline", "guided": "loop of diffusers"}
"""What the others of a group are compared with."""


@dataclass(frozen=True)
class Way:
    """A way to draw samples.

    Attributes:
        group: those that are compared.
        name: of the way.
        step: one run.
    """

    group: str
    name: str
    step: Callable[[], object]


def plain(diffusers: Any, widths: tuple[int, ...] = (64, 128)) -> Any:
    """A network that is told nothing."""
    torch.manual_seed(0)
    sizes = {"block_out_channels": widths, "norm_num_groups": 16, "attention_head_dim": 32, "layers_per_block": 1}
    kinds = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    return diffusers.UNet2DModel(32, 3, 3, **sizes, **kinds).eval()


def captioned(diffusers: Any, widths: tuple[int, ...] = (64, 128)) -> Any:
    """A network of latents that is told a caption."""
    torch.manual_seed(0)
    sizes = {"block_out_channels": widths, "norm_num_groups": 16, "attention_head_dim": 4, "layers_per_block": 1}
    kinds = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return diffusers.UNet2DConditionModel(32, 4, 4, cross_attention_dim=WIDTH, **sizes, **kinds).eval()


def scheduler(diffusers: Any) -> Any:
    return diffusers.DDIMScheduler(num_train_timesteps=LEVELS, clip_sample=False, prediction_type="v_prediction")


def pipeline(diffusers: Any, network: Any, batch: int, steps: int, eta: float) -> Callable[[], object]:
    """A run of DDIMPipeline."""
    pipe = diffusers.DDIMPipeline(unet=network, scheduler=scheduler(diffusers))
    pipe.set_progress_bar_config(disable=True)
    return lambda: pipe(batch_size=batch, num_inference_steps=steps, eta=eta, output_type="pt")


def guided_loop(diffusers: Any, network: Any, words: Tensor, batch: int, steps: int) -> Callable[[], object]:
    """What StableDiffusionPipeline does between the text encoder and the autoencoder."""
    walk = scheduler(diffusers)
    both = torch.cat([torch.zeros_like(words).expand(batch, -1, -1), words.expand(batch, -1, -1)])

    @torch.no_grad()
    def run() -> Tensor:
        walk.set_timesteps(steps)
        x = torch.randn(batch, 4, 32, 32)
        for t in walk.timesteps:
            unsaid, said = network(torch.cat([x, x]), t, encoder_hidden_states=both, return_dict=False)[0].chunk(2)
            x = walk.step(unsaid + SCALE * (said - unsaid), t, x, return_dict=False)[0]
        return x

    return run


def sampled(denoiser: Denoiser, batch: int, steps: int, eta: float) -> Callable[[], object]:
    """Our sampler on the times of diffusers' schedulers."""
    times = torch.arange(steps - 1, -1, -1) * (LEVELS // steps) + 1
    sampler = on.Sampler([*(times / LEVELS).tolist(), 0.0], (on.Predictor(eta=eta),))

    @torch.no_grad()
    def run() -> Tensor:
        return sampler.run(denoiser, on.Keys.of(0, batch))

    return run


def ways(diffusers: Any, network: Any, telling: Any, batch: int, steps: int) -> list[Way]:
    """All ways, group by group."""
    model, words = wrapped(network, scheduler(diffusers)), torch.randn(WORDS, WIDTH)
    nothing = {"caption": torch.zeros_like(words)}
    guided = wrapped(telling, scheduler(diffusers), unconditional=nothing) & on.ClassifierFreeGuidance(
        {"caption": words}, SCALE
    )
    return [
        Way("deterministic", "DDIMPipeline", pipeline(diffusers, network, batch, steps, 0.0)),
        Way("deterministic", "ours, DDIM", sampled(model, batch, steps, 0.0)),
        Way("deterministic", "ours, default", lambda: on.sample(model, batch, steps)),
        Way("ancestral", "DDIMPipeline", pipeline(diffusers, network, batch, steps, 1.0)),
        Way("ancestral", "ours", sampled(model, batch, steps, 1.0)),
        Way("guided", "loop of diffusers", guided_loop(diffusers, telling, words, batch, steps)),
        Way("guided", "ours, DDIM", sampled(guided, batch, steps, 0.0)),
    ]


def rows(found: Sequence[tuple[Way, float]], batch: int, steps: int) -> list[dict[str, Any]]:
    """One row a way: CPU-seconds of a run, and how many times as many samples a second as diffusers."""
    theirs = {way.group: cost for way, cost in found if way.name == FIRST[way.group]}
    return [
        {
            "group": way.group,
            "way": way.name,
            "batch": batch,
            "steps": steps,
            "evaluations": steps * (2 if way.group == "guided" else 1),
            "cpu_seconds": round(cost, 4),
            "samples_a_cpu_second": round(batch / cost, 4),
            "times_diffusers": round(theirs[way.group] / cost, 4),
        }
        for way, cost in found
    ]


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """The rows, for people."""
    lines = ["group          way                evaluations  s a run  samples/s  × diffusers"]
    lines += [
        f"{row['group']:<13}  {row['way']:<17}  {row['evaluations']:>11}  {row['cpu_seconds']:>7.3f}  "
        f"{row['samples_a_cpu_second']:>9.2f}  {row['times_diffusers']:>11.3f}"
        for row in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pictures_sampling.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    import diffusers

    network, telling = plain(diffusers), captioned(diffusers)
    print(f"{count(network):,} weights; {count(telling):,} under guidance")
    groups = groupby(ways(diffusers, network, telling, options.batch, options.steps), lambda way: way.group)
    found = []
    for members in (list(group) for _, group in groups):
        costs = seconds([way.step for way in members], options.rounds)
        found += rows(list(zip(members, costs, strict=True)), options.batch, options.steps)
    print(table(found))
    run = {"threads": options.threads, "rounds": options.rounds, "torch": torch.__version__}
    run |= {"diffusers": diffusers.__version__, "date": date.today().isoformat()}
    with options.out.open("a") as file:
        file.writelines(json.dumps({**row, **run}) + "\n" for row in found)


if __name__ == "__main__":
    main()

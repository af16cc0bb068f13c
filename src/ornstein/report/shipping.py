"""python -m ornstein.shipping RUN: puts what was trained into its domain package, with what one must know to trust it.

Beside the weights (half precision) stand the configuration that made them, the measured scores and a card.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import to_toml, update
from ..errors import InputError
from ..files import write_text
from ..tasks import runs
from ..tasks.figures import Metric
from ..tasks.registry import task
from ..tasks.requests import draw
from ..training import checkpoints
from ..training.metrics import read_metrics


def ship(run: Path) -> Path:
    """Copies the model or regressor of a run folder into its package, then measures and describes the copy."""
    kind = "model" if (run / runs.MODEL).exists() else "regressor"
    tensors, meta = checkpoints.load(run / f"{kind}.safetensors", kind, runs.HEADER)
    this = task(meta["domain"])
    if Path(meta["name"]).name != meta["name"]:
        raise InputError(f"{run}: field name is {meta['name']!r}, expected the name of a folder")
    folder = this.folder / "models" / meta["name"]
    path = folder / f"{kind}.safetensors"
    checkpoints.save(path, kind, {name: half(tensor) for name, tensor in tensors.items()}, meta)
    recipe = to_toml(update(this.config(), meta["config"], str(run)))
    write_text(folder / runs.CONFIG, recipe)
    measured = sampled if kind == "model" else predicted
    metrics, said = measured(f"{meta['domain']}/{meta['name']}", folder)
    last = read_metrics(run / "metrics.jsonl")[-1]
    write_text(folder / "card.md", card(meta, recipe, metrics, last, said))
    return folder


def sampled(name: str, folder: Path) -> tuple[list[Metric], str]:
    """The scores of a model's samples, kept in its folder, and how they were measured, around {rows}."""
    this = runs.task_of(name)
    with tempfile.TemporaryDirectory() as work:
        samples = draw(runs.load(name), this.request_type(), this.n_evaluate, **this.sampling)
        drawn = samples.save(Path(work) / "samples")
        metrics = runs.evaluate(drawn)
        write_text(folder / runs.SCORES, (drawn / runs.SCORES).read_text())
    command = " ".join(
        [f"ornstein sample {name} --n {this.n_evaluate}", *(f"--{k} {v}" for k, v in this.sampling.items())]
    )
    exact = f"\nHow exact these samples are: {samples.exactness}.\n" if samples.exactness else ""
    return (
        metrics,
        f"Scores of {len(samples)} samples at seed 0 (`{command}`, then `ornstein evaluate`):\n\n{{rows}}\n{exact}",
    )


def predicted(name: str, folder: Path) -> tuple[list[Metric], str]:
    """The scores of a regressor's predictions, kept in its folder, and how they were measured, around {rows}."""
    regressor = runs.load_regressor(name)
    assert regressor.origin is not None
    metrics = task(regressor.origin.domain).predictions(regressor)
    runs.append_metrics(folder, metrics)
    return metrics, "It predicts and draws nothing. Measured on what it was not trained on:\n\n{rows}\n"


def half(tensor: Tensor) -> Tensor:
    """float16, which the weights' range allows and 10 bits of mantissa serve better than bfloat16's 7."""
    return tensor.half() if tensor.is_floating_point() else tensor


def card(meta: Mapping[str, Any], recipe: str, metrics: Sequence[Metric], last: Mapping[str, float], said: str) -> str:
    """What the model is, what it was made from, and what it measured; said: how, around {rows}.

    Args:
        meta: what the checkpoint says of the model, in JSON values.
        recipe: the configuration of the training.
        metrics: the metrics to print, with their reference values.
        last: last row of the training log.
    """
    name = f"{meta['domain']}/{meta['name']}"
    rows = "\n".join(
        f"| {score.name} ({score.better} is better) | {score.value:.4g} | "
        f"{'' if score.reference is None else f'{score.reference:.4g} ({score.reference_name})'} |"
        for score in metrics
    )
    minutes = last["step"] / last["steps_per_second"] / 60
    table = f"| score | value | yardstick |\n|---|---|---|\n{rows}"
    rounds = "".join(f"- Round {k}: {told}.\n" for k, told in enumerate(meta.get("data", {}).get("rounds", ()), 1))
    renewed = f"\nThe model made its own data in rounds; their evaluations of the energy are cumulative.\n\n{rounds}"
    return f"""# {name}

Data: {task(meta["domain"]).data_provenance(meta["facts"])}.
Weights: Apache-2.0. Made to show and test the engine; judge its scores below before any other use.

Trained with `ornstein train {name}`: {last["step"]} steps in {minutes:.1f} minutes on {machine()}; validation loss
{last["validation"]:.4f}.
{renewed if rounds else ""}
{said.format(rows=table)}
```toml
{recipe.strip()}
```
"""


def machine() -> str:
    """What the model was trained on, if shipped from where it was trained."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU cores"


if __name__ == "__main__":
    print(ship(Path(sys.argv[1])))

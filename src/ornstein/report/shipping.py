"""python -m ornstein.report.shipping RUN: puts what was trained into its domain package, with what one must know to
trust it.

Beside the weights (in half precision, with `--bits 8` large matrices in 8 bits) stand the configuration that made them,
the measured scores of the weights as they are stored, and a card.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import to_toml, update
from ..denoisers.base import NeuralDenoiser
from ..errors import InputError
from ..files import write_text
from ..tasks import runs
from ..tasks.figures import Metric
from ..tasks.registry import task
from ..tasks.requests import draw
from ..tasks.scores import SCORES, append_metrics
from ..training import checkpoints
from ..training.metrics import read_metrics
from ..training.rounding import rounded


def ship(run: Path, bits: int = 16, data: str | None = None) -> Path:
    """Copies the model or regressor of a run folder into its package, then measures and describes the copy.

    Args:
        run: its folder.
        bits: 16 = half precision; 8 = large matrices as whole numbers, each row with its scale (training/rounding.py).
        data: the file or folder that the model learned from, if that was one of the user's.
    """
    kind = "model" if (run / runs.MODEL).exists() else "regressor"
    tensors, meta = checkpoints.load(run / f"{kind}.safetensors", kind, runs.HEADER)
    this = task(meta["domain"])
    if Path(meta["name"]).name != meta["name"]:
        raise InputError(f"{run}: field name is {meta['name']!r}, expected the name of a folder")
    folder = this.folder / "models" / meta["name"]
    path = folder / f"{kind}.safetensors"
    stored = rounded(tensors) if bits == 8 else {name: half(tensor) for name, tensor in tensors.items()}
    checkpoints.save(path, kind, stored, {**meta, "bits": bits})
    recipe = to_toml(update(this.config(), meta["config"], str(run)))
    write_text(folder / runs.CONFIG, recipe)
    name = f"{meta['domain']}/{meta['name']}"
    scores = sampled(name, folder, data) if kind == "model" else predicted(name, folder)
    write_text(folder / "card.md", card({**meta, "bits": bits}, recipe, read_metrics(run / "metrics.jsonl"), scores))
    return folder


def sampled(name: str, folder: Path, data: str | None = None) -> str:
    """The scores of a model's samples, one table a request; they are kept in its folder, too."""
    model = runs.load(name)
    assert model.origin is not None
    judged = task(model.origin.domain).judged_on(model.origin.metadata)
    parts = [_sampled(name, model, asked, n, data) for asked, n in judged]
    _keep([metric for metrics, _ in parts for metric in metrics], folder)
    return "\n".join(said for _, said in parts)


def _sampled(name: str, model: NeuralDenoiser, asked: Any, n: int, data: str | None) -> tuple[list[Metric], str]:
    """The scores of n samples of a request, and a table of them below the command that draws these."""
    options = runs.task_of(name).sampling
    samples = draw(model, asked, n, **options)
    with tempfile.TemporaryDirectory() as work:
        metrics = runs.evaluate(samples.save(Path(work) / "samples"), data=data)
    flags = (f"--{flag.replace('_', '-')} {_typed(value)}" for flag, value in {**_said(asked), **options}.items())
    assert model.origin is not None
    files = any(isinstance(value, Path) for value in vars(asked).values())
    made = f"`{runs.task_of(name).judged_files(model.origin.metadata)}`, then " if files else ""
    command = " ".join([f"ornstein sample {name} --n {n}", *flags])
    exact = f"\nHow exact these samples are: {samples.exactness}.\n" if samples.exactness else ""
    how = f"Scores of {n} samples at seed 0 ({made}`{command}`, then `ornstein evaluate`):"
    return metrics, f"{how}\n\n{table(metrics)}\n{exact}"


def _said(asked: Any) -> dict[str, Any]:
    """What a request says that is not so by itself."""
    return {name: value for name, value in vars(asked).items() if value != getattr(type(asked)(), name)}


def _typed(value: Any) -> str:
    """A value as it is written on the command line; of a file, the name where it lies."""
    if isinstance(value, Path):
        return value.name
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def predicted(name: str, folder: Path) -> str:
    """The scores of a regressor's predictions, in a table; they are kept in its folder, too."""
    regressor = runs.load_regressor(name)
    assert regressor.origin is not None
    metrics = task(regressor.origin.domain).predictions(regressor)
    _keep(metrics, folder)
    return f"It predicts and draws nothing. Measured on what it was not trained on:\n\n{table(metrics)}\n"


def _keep(metrics: Sequence[Metric], folder: Path) -> None:
    """As the scores of this model, in the place of an earlier one's."""
    (folder / SCORES).unlink(missing_ok=True)
    append_metrics(folder, metrics)


_STORED = {16: "", 8: ", large matrices in 8 bits a number with a scale a row, measured so"}


def half(tensor: Tensor) -> Tensor:
    """float16, which the weights' range allows and 10 bits of mantissa serve better than bfloat16's 7."""
    return tensor.half() if tensor.is_floating_point() else tensor


def table(metrics: Sequence[Metric]) -> str:
    """The scores beside their yardsticks, in Markdown."""
    rows = [
        f"| {score.name} ({score.better} is better) | {score.measured} | {score.yardstick} | {score.meaning} |"
        for score in metrics
    ]
    return "\n".join(["| score | value | yardstick | what it means |", "|---|---|---|---|", *rows])


def learned(log: Sequence[Mapping[str, float]], steps: int, planned: int, machine: str) -> str:
    """How long it was trained, and the last and the lowest validation loss of the log; InputError if it has none.

    Args:
        log: the rows of the training log.
        steps: that were done.
        planned: steps of the recipe, which a training that was stopped does not reach.
        machine: that did them.
    """
    validated = [row for row in log if "validation" in row]
    if not validated:
        raise InputError("metrics.jsonl: no row has a validation loss, which the card gives")
    minutes = steps / log[-1]["steps_per_second"] / 60
    last, best = validated[-1], min(validated, key=lambda row: row["validation"])
    lowest = "" if best is last else f" (lowest: {best['validation']:.4g} at step {best['step']})"
    done = f"{steps}" if steps == planned else f"{steps} of {planned}"
    at = "" if last["step"] == steps else f" at step {last['step']}"
    return f"{done} steps in {minutes:.1f} minutes on {machine}; validation loss\n{last['validation']:.4g}{at}{lowest}"


def card(meta: Mapping[str, Any], recipe: str, log: Sequence[Mapping[str, float]], scores: str) -> str:
    """What the model is, what it was made from, and what it measured.

    Args:
        meta: what the checkpoint says of the model, in JSON values.
        recipe: the configuration of the training.
        log: the rows of the training log.
        scores: how the model was judged, with tables of the scores, in Markdown.
    """
    name = f"{meta['domain']}/{meta['name']}"
    rounds = "".join(f"- Round {k}: {told}.\n" for k, told in enumerate(meta.get("data", {}).get("rounds", ()), 1))
    train, machine = meta["config"]["train"], meta.get("machine", "a machine that its file does not name")
    steps = train["steps"] if train.get("minutes") is None else meta["step"]  # of those that minutes were left for
    renewed = f"\nThe model made its own data in rounds; their evaluations of the energy are cumulative.\n\n{rounds}"
    return f"""# {name}

Data: {task(meta["domain"]).data_provenance(meta["facts"])}.
Weights: Apache-2.0{_STORED[meta.get("bits", 16)]}.
Made to show and test the engine; judge its scores below before any other use.

Trained with `ornstein train {name}`: {learned(log, meta["step"], steps, machine)}.
{renewed if rounds else ""}
{scores}
```toml
{recipe.strip()}
```
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ornstein.report.shipping")
    parser.add_argument("run", type=Path, help="the folder of a training")
    parser.add_argument("--bits", type=int, choices=(16, 8), default=16, help="of a number in a large matrix")
    parser.add_argument("--data", help="the file or folder that it learned from, if it was one of yours")
    asked = parser.parse_args()
    print(ship(asked.run, asked.bits, asked.data))

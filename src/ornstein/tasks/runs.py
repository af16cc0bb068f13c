"""From a configuration to a trained model, and from a name to a loaded one."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import torch

from ..config import read_toml, suggestion, to_dict, to_toml, update
from ..denoisers.base import NeuralDenoiser, Origin
from ..denoisers.regressors import Regressor
from ..errors import InputError
from ..files import read_json, require, sha256, write_json, write_text
from ..keys import Keys
from ..sampling import grids
from ..training import checkpoints
from ..training.checking import check_ahead
from ..training.datasets import Arrays, Dataset
from ..training.trainer import LAST, Progress, Trainer
from .figures import Metric
from .registry import broken, domains, task
from .samples import read_samples
from .task import Task

MODEL, REGRESSOR = "model.safetensors", "regressor.safetensors"
CONFIG, SCORES = "config.toml", "scores.json"

HEADER = {"domain": str, "name": str, "config": dict, "facts": dict, "step?": int, "grids?": dict}
"""What the header of a model's or regressor's file says."""


def recipe(domain: str, name: str | None, file: Path | None = None) -> Any:
    """A domain's configuration: the named recipe (the first, if none is named) with a TOML file laid over it.

    A domain without recipes has its own defaults.

    Args:
        name: of the recipe; the first if not given.
    """
    this = task(domain)
    files = (this.folder / "recipes").glob("*.toml")
    recipes = {path.stem: path for path in sorted(files, key=lambda path: path.stem)}  # qm9 before qm9-judge
    if name is not None and name not in recipes:
        known = suggestion(name, list(recipes)) if recipes else "; it has none: leave the name out"
        raise InputError(f"the domain {domain!r} has no recipe {name!r}{known}")
    path = recipes.get(name or next(iter(recipes), ""))
    config = update(this.config(), read_toml(path), str(path)) if path else this.config()
    return update(config, read_toml(file), str(file)) if file else config


def train(
    domain: str,
    name: str,
    config: Any,
    folder: Path,
    resume: bool = False,
    progress: Progress = lambda row: None,
    say: Callable[[str], None] = lambda text: None,
    stop: Event | None = None,
) -> Path:
    """Trains a model of `config` in `folder` and returns the path of its weights.

    Nothing is written before the data has been checked: all of it, or the first records of a large set, whose others
    are checked as they are read. InputError if the folder holds a run and resume is false, or if another training is
    at work there; Interrupted once `stop` is set and what was learned so far is saved.

    Args:
        domain: the domain's name.
        name: of the model, for its checkpoint.
        progress: called with every row of the training log.
        say: called with messages for the user.
    """
    this = task(domain)
    _require_begun(folder, resume)
    data, validation = this.data(config)
    say(this.describe(data, validation))
    model = this.model(config, data.metadata)
    check_ahead(model.space, data, "training data")
    check_ahead(model.space, validation, "validation data")
    say(f"training for {config.train.length}")
    meta = {"domain": domain, "name": name, "config": to_dict(config), "facts": dict(data.metadata)}
    trainer = Trainer(model, data, validation, config.train, folder, meta, progress, stop)
    with trainer.held():
        _require_begun(folder, resume)  # another may have come and gone while the data were read
        if resume:
            trainer.resume()
        write_text(folder / CONFIG, to_toml(config))
        _rounds(this, config, trainer, folder)
        path = folder / f"{model.kind}.safetensors"
        if trainer.fabric.is_global_zero and isinstance(model, NeuralDenoiser):
            plan_grids(path, data, config.train.plan)
    return path


def _require_begun(folder: Path, resume: bool) -> None:
    """InputError unless there is a run in the folder exactly if one is to be resumed."""
    path = folder / LAST
    if path.exists() and not resume:
        raise InputError(f"{folder}: holds a run already; resume it (--resume) or choose another folder")
    if resume and not path.exists():
        raise InputError(f"{folder}: nothing to resume, there is no {LAST}")


def _rounds(this: Task, config: Any, trainer: Trainer, folder: Path) -> None:
    """Equal shares of the steps, or of the minutes, each with its own data."""
    rounds = this.rounds(config)
    for k in range(rounds):
        end = Fraction(k + 1, rounds)
        if k:
            trainer.feed.data = _round(this, config, trainer, folder, k, end)
        trainer.meta = {**trainer.meta, "data": dict(trainer.feed.data.metadata)}
        trainer.fit(end)


def _round(this: Task, config: Any, trainer: Trainer, folder: Path, k: int, end: Fraction) -> Dataset:
    """The data of round k: those in the folder, or made anew by the averaged weights, and kept there for a resume."""
    path = folder / f"round-{k}.safetensors"
    if not path.exists() and not trainer.reached(end):
        assert isinstance(trainer.averaged, NeuralDenoiser), "regressors draw no data"
        data = this.renewed(config, trainer.averaged, trainer.feed.data, k)
        checkpoints.save(path, "data", _tensors(data), {"facts": dict(data.metadata)})
    if not path.exists():  # the round is over, and what it learned from is gone
        return trainer.feed.data
    tensors, meta = checkpoints.load(path, "data", {"facts": dict})
    if "x" not in tensors:
        raise InputError(f"{path}: has no tensor 'x', the records of this round")
    return Arrays(tensors["x"], {}, meta["facts"])


def _tensors(data: Dataset) -> dict[str, torch.Tensor]:
    x, condition = data.batch(torch.arange(len(data)))
    assert isinstance(x, torch.Tensor), "only plain tensors are renewed"
    assert not condition, "only data without conditions are renewed"
    return {"x": x}


def plan_grids(path: Path, data: Dataset, steps: Sequence[int], pilots: int = 64, rounds: int = 20) -> None:
    """Plans the model's time grids on pilot samples with conditions from the data, and saves them with its weights.

    Args:
        path: of the file.
        steps: intervals of the time grid.
        pilots: samples with which the grids are planned.
        rounds: steps of the optimiser.
    """
    model = load(path)
    tensors, meta = checkpoints.load(path, "model")
    keys = Keys.of(1_000_003, pilots)
    condition = data.batch(keys.uniform().mul(len(data)).long())[1]
    planned = {n: grids.plan(model, n, keys, condition, rounds=rounds) for n in steps if model.space.schedule_and_std}
    checkpoints.save(path, "model", tensors, {**meta, "grids": planned})


def shipped(kind: str = "model") -> dict[str, Path]:
    """What comes with the installed domains, "domain/name" → folder: models, or what is of the kind "regressor".

    A domain that cannot be loaded has none; `registry.broken()` says why.
    """
    found = {}
    for domain in domains():
        if domain not in broken():
            found |= _shipped_with(domain, kind)
    return found


def _shipped_with(domain: str, kind: str) -> dict[str, Path]:
    """What comes with one domain; InputError if it cannot be loaded."""
    folder = task(domain).folder / "models"
    return {f"{domain}/{path.parent.name}": path.parent for path in sorted(folder.glob(f"*/{kind}.safetensors"))}


def _shipped_as(name: str, kind: str) -> Path | None:
    """The folder of a shipped model, for which no other domain is loaded than its own."""
    domain, slash, _ = name.partition("/")
    if not slash or domain not in domains() or (Path(name).exists() and domain in broken()):
        return None
    return _shipped_with(domain, kind).get(name)


def locate(model: Path | str, kind: str = "model") -> Path:
    """The weights file of a shipped model's name, a run folder, or a file; InputError if there is none of that kind."""
    name, path = str(model), Path(model)
    if ours := _shipped_as(name, kind):
        return ours / f"{kind}.safetensors"
    if kind == "model" and (_shipped_as(name, "regressor") or (path / REGRESSOR).exists()):
        raise InputError(f"{model}: a regressor, which predicts and draws nothing; on.load_regressor loads it")
    if path.is_dir():
        return path / f"{kind}.safetensors"
    if path.is_file():
        return path
    raise InputError(
        f"{model}: no file, run folder or shipped {kind} of that name{suggestion(name, list(shipped(kind)))}"
    )


def load(model: Path | str, device: torch.device | str = "cpu") -> NeuralDenoiser:
    """A trained denoiser, ready to sample, from a shipped model's name ("images/digits"), a run folder or a file."""
    denoiser, meta = _loaded(model, "model", device)
    assert isinstance(denoiser, NeuralDenoiser)
    return denoiser.having(grids=_grids(meta.get("grids") or {}, locate(model)))


def _grids(saved: Mapping[str, Any], path: Path) -> dict[int, list[float]]:
    """The time grids in a model's file, by number of steps."""
    for steps, grid in saved.items():
        if not steps.isdecimal() or len(require(grid, [float], f"{path}: grid of {steps} steps")) != int(steps) + 1:
            raise InputError(f"{path}: grid of {steps} steps has {len(grid)} times, expected one more than steps")
    return {int(steps): grid for steps, grid in saved.items()}


def load_regressor(model: Path | str, device: torch.device | str = "cpu") -> Regressor:
    """A trained regressor, from a shipped one's name ("molecules/qm9-judge"), a run folder or a file."""
    regressor, _ = _loaded(model, "regressor", device)
    assert isinstance(regressor, Regressor)
    return regressor


def _loaded(
    model: Path | str, kind: str, device: torch.device | str
) -> tuple[NeuralDenoiser | Regressor, Mapping[str, Any]]:
    """What was trained, without gradients of its weights, and what its file says of it."""
    path = locate(model, kind)
    tensors, meta = checkpoints.load(path, kind, HEADER)
    this = _task_in(meta, path)
    config = update(this.config(), meta["config"], f"{path}: config")
    origin = Origin(meta["domain"], meta["name"], meta["config"], meta["facts"], sha256(path))
    made = _made(this, config, origin, path)
    checkpoints.load_into(made.network, tensors, path)
    made.network.requires_grad_(False).eval().to(device)
    return made, meta


def _made(this: Task, config: Any, origin: Origin, path: Path) -> NeuralDenoiser | Regressor:
    """What a file says that it holds the weights of, still without them; InputError if it says nothing of the kind."""
    try:
        return this.model(config, origin.metadata, origin)
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise InputError(
            f"{path}: the domain {origin.domain!r} makes no network of its fields facts and config ({said})"
        ) from error


def pick_device(name: str) -> str:
    """The device of that name, with "auto" for CUDA if there is one; InputError if it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this machine has no CUDA device")
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def evaluate(folder: Path | str) -> list[Metric]:
    """Scores a folder of samples as its field does and appends the result to scores.json there."""
    folder = Path(folder)
    samples = read_samples(folder)
    assert samples.origin is not None
    metrics = task(samples.origin.domain).evaluate(samples)
    append_metrics(folder, metrics)
    return metrics


def append_metrics(folder: Path, metrics: Sequence[Metric]) -> None:
    """Adds what was measured just now to scores.json in a folder."""
    path = folder / SCORES
    rows = read_json(path, "earlier scores") if path.exists() else []
    rows.append({"created": datetime.now(UTC).isoformat(timespec="seconds"), "scores": [vars(row) for row in metrics]})
    write_json(path, rows)


def latest_metrics(folder: Path) -> list[Metric]:
    """The scores last written in a folder of samples or beside a shipped model; none if there are none."""
    path = folder / SCORES
    if not path.exists():
        return []
    try:
        return [Metric(**row) for row in read_json(path, "scores")[-1]["scores"]]
    except (TypeError, KeyError, IndexError):
        raise InputError(
            f"{path}: not what `ornstein evaluate` writes, a list of scores; remove it and score anew"
        ) from None


def task_of(model: Path | str) -> Task:
    """The domain of a model, read from its weights file."""
    path = locate(model)
    return _task_in(checkpoints.load(path, "model", HEADER)[1], path)


def _task_in(meta: Mapping[str, Any], path: Path) -> Task:
    """The domain that a file names; InputError if it is not installed."""
    domain = meta["domain"]
    if domain not in domains():
        raise InputError(f"{path}: of the domain {domain!r}, which is not installed; installed: {', '.join(domains())}")
    return task(domain)

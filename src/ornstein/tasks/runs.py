"""From a configuration to a trained model, and from a name to a loaded one."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import torch

from .. import code, events
from ..config import TrainConfig, read_toml, suggestion, to_dict, to_toml, update
from ..denoisers.base import NeuralDenoiser, Origin
from ..denoisers.regressors import Regressor
from ..errors import InputError
from ..files import require, sha256, write_text
from ..sampling import path_plans
from ..spaces import TimePath
from ..training import checkpoints
from ..training.budget import Budget
from ..training.checking import check_ahead
from ..training.datasets import Arrays, Dataset
from ..training.devices import of_precision
from ..training.trainer import LAST, Progress, Trainer
from . import plans
from .evaluating import evaluate as evaluate
from .measuring import measure
from .memory import require_batch
from .registry import broken, domains, names, task
from .samples import require_code, task_in
from .task import Task

MODEL, REGRESSOR = "model.safetensors", "regressor.safetensors"
CONFIG = "config.toml"
DEFAULT = "default"
"""The recipe of a domain whose other ones are of data that not everybody has."""

HEADER = {
    "domain": str,
    "name": str,
    "config": dict,
    "facts": dict,
    "step?": int,
    "grids?": {int: [float]},
    "path?": {str: [float]},
}
"""What the header of a model's or regressor's file says."""


def recipe(domain: str, name: str | None, file: Path | None = None) -> Any:
    """A domain's configuration: the named recipe with a TOML file laid over it.

    A domain without recipes has its own defaults.

    Args:
        name: of the recipe; if not given, the one called "default", else the first.
    """
    this = task(domain)
    files = (this.folder / "recipes").glob("*.toml")
    recipes = {path.stem: path for path in sorted(files, key=lambda path: path.stem)}  # qm9 before qm9-judge
    if name is not None and name not in recipes:
        known = suggestion(name, list(recipes)) if recipes else "; it has none: leave the name out"
        raise InputError(f"the domain {domain!r} has no recipe {name!r}{known}")
    path = recipes.get(name or (DEFAULT if DEFAULT in recipes else next(iter(recipes), "")))
    config = update(this.config(), read_toml(path), str(path)) if path else this.config()
    return _laid_over(this, config, file) if file else config


def _laid_over(this: Task, config: Any, file: Path) -> Any:
    """A configuration with a TOML file laid over it, which may be somebody else's."""
    found = update(config, read_toml(file), str(file))
    for setting in this.code:
        how = f"say it on the command line as well: --{setting} {getattr(found, setting)}"
        code.require_allowed([getattr(found, setting)], file, how)
    return found


def train(
    domain: str,
    name: str,
    config: Any,
    folder: Path,
    resume: bool = False,
    progress: Progress = lambda row: None,
    say: Callable[[str], None] = lambda text: None,
    stop: Event | None = None,
    callback: Callable[[events.Event], object] = lambda event: None,
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
        callback: called with the events of the work before and after the steps, for progress.
    """
    this = task(domain)
    _require_begun(folder, resume)
    with events.heard_by(callback):
        data, validation = this.data(config)
    require_batch(data, config.train.batch_size)
    say(this.describe(data, validation))
    model = this.model(config, data.metadata)
    if config.train.plan_path:
        path_plans.require_plannable(model.space)
    this.prepare(model.network, data)
    if config.train.start and not resume:
        say(_begun_with(model, config.train.start, this, data.metadata))
    check_ahead(model.space, data, "training data")
    check_ahead(model.space, validation, "validation data")
    say(f"training for {config.train.length}; {of_precision(config.train)}{_judged_on(config.train, validation)}")
    meta = {"domain": domain, "name": name, "config": to_dict(config), "facts": dict(data.metadata)}
    trainer = Trainer(model, data, validation, config.train, folder, meta, progress, stop)
    with trainer.held():
        _require_begun(folder, resume)  # another may have come and gone while the data were read
        if resume:
            for change in trainer.resume():
                say(f"note: {change}")
        write_text(folder / CONFIG, to_toml(config))
        _rounds(this, config, trainer, folder)
        path = folder / f"{model.kind}.safetensors"
        if trainer.fabric.is_global_zero and isinstance(model, NeuralDenoiser):
            plans.plan_grids(path, load(path), data, config.train.plan, callback=callback)
            if config.train.plan_path:
                plans.plan_path(path, load(path), data, config.train.plan_path, callback=callback)
            if type(this).trained is not Task.trained:
                measure(load(path), this, config, path, say, callback)
    return path


def _judged_on(config: TrainConfig, validation: Dataset) -> str:
    """Words for a validation loss that is not of all that is held out."""
    most = config.validate_on
    whole = not most or len(validation) <= most
    return "" if whole else f"; validated on {most:,} of {len(validation):,} held-out records (train.validate_on)"


def _begun_with(model: NeuralDenoiser | Regressor, start: str, this: Task, metadata: Mapping[str, Any]) -> str:
    """Gives a model the weights of another, and says in words what is still fresh; InputError if they do not fit."""
    path = locate(start, model.kind)
    tensors, meta = checkpoints.load(path, model.kind, HEADER)
    if meta["domain"] != this.name:
        raise InputError(f"train.start: {path} holds a model of {meta['domain']}, expected one of {this.name}")
    require(meta["facts"], this.facts, f"{path}: facts")
    tensors, changed = this.transferred(tensors, meta["facts"], metadata)
    fresh = checkpoints.load_into(model.network, tensors, path, partly=True)
    told = [f"beginning with the weights of {start}", changed, f"fresh: {', '.join(fresh)}" if fresh else ""]
    return "; ".join(part for part in told if part)


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


def shipped_folder(domain: str, name: str, weights: str) -> Path | None:
    """The folder of the shipped model of this name, if its weights have this SHA-256."""
    folder = _shipped_as(f"{domain}/{name}", "model")
    return folder if folder and sha256(folder / MODEL) == weights else None


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
    known = suggestion(name, names(f"models/*/{kind}.safetensors"))
    raise InputError(f"{model}: no file, run folder or shipped {kind} of that name{known}")


def load(
    model: Path | str, device: torch.device | str = "cpu", *, allow_code: bool | str | Path = False
) -> NeuralDenoiser:
    """A trained denoiser, ready to sample, from a shipped model's name ("images/digits"), a run folder or a file.

    Args:
        device: where its network is to be.
        allow_code: run the Python file that the model names, as one of an energy of the user's own does; a path is
            where that file is now. Without it such a model is refused: a file alone may not have code run.

    InputError if it is no such model, is damaged, or its code has changed since the training.
    """
    denoiser, meta = _loaded(model, "model", device, allow_code)
    assert isinstance(denoiser, NeuralDenoiser)
    denoiser = denoiser.having(grids=_grids(meta.get("grids") or {}, locate(model)))
    return _along(denoiser, meta["path"], locate(model)) if meta.get("path") else denoiser


def _along(denoiser: NeuralDenoiser, saved: Mapping[str, Any], path: Path) -> NeuralDenoiser:
    """The model on the path in its file; InputError, which names the file, if it is none for its data."""
    try:
        return denoiser.along(TimePath.from_record(saved))
    except InputError as error:
        raise InputError(f"{path}: path: {error}") from None


def _grids(saved: Mapping[str, Any], path: Path) -> dict[int, list[float]]:
    """The time grids in a model's file, by number of steps."""
    for steps, grid in saved.items():
        if len(grid) != int(steps) + 1:
            raise InputError(f"{path}: grid of {steps} steps has {len(grid)} times, expected one more than steps")
    return {int(steps): grid for steps, grid in saved.items()}


def load_regressor(model: Path | str, device: torch.device | str = "cpu") -> Regressor:
    """A trained regressor, from a shipped one's name ("molecules/qm9-judge"), a run folder or a file.

    Args:
        model: that name, folder or file.
        device: where it computes, such as "cuda".
    """
    regressor, _ = _loaded(model, "regressor", device, False)
    assert isinstance(regressor, Regressor)
    return regressor


def _loaded(
    model: Path | str, kind: str, device: torch.device | str, allow_code: bool | str | Path
) -> tuple[NeuralDenoiser | Regressor, Mapping[str, Any]]:
    """What was trained, without gradients of its weights, and what its file says of it."""
    path = locate(model, kind)
    tensors, meta = checkpoints.load(path, kind, HEADER)
    this = task_in(meta, path)
    config = update(this.config(), meta["config"], f"{path}: config")
    require(meta["facts"], this.facts, f"{path}: facts")
    require_code(this, meta["config"], meta["facts"], path, allow_code)
    origin = Origin(meta["domain"], meta["name"], to_dict(config), meta["facts"], sha256(path))
    with Budget(10 * sum(map(torch.Tensor.numel, tensors.values())) + 10**7, path):
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


def task_of(model: Path | str) -> Task:
    """The domain of a model, read from its weights file."""
    path = locate(model)
    return task_in(checkpoints.load(path, "model", HEADER)[1], path)

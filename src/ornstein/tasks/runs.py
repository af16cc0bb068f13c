"""From a configuration to a trained model, and from a name to a loaded one."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from ..config import read_toml, suggestion, to_dict, to_toml, update
from ..denoisers.base import Denoiser, NeuralDenoiser, Origin
from ..denoisers.regressors import Regressor
from ..errors import InputError
from ..files import read_json, sha256, write_json, write_text
from ..keys import Keys
from ..sampling import grids
from ..spaces import Space
from ..training import checkpoints
from ..training.datasets import Arrays, Dataset
from ..training.trainer import Progress, Trainer
from .drawing import sample
from .figures import Score
from .registry import domains, task
from .samples import Samples, read_samples
from .task import Task

MODEL, REGRESSOR, LAST = "model.safetensors", "regressor.safetensors", "last.safetensors"
CONFIG, SCORES = "config.toml", "scores.json"


def recipe(domain: str, name: str | None, file: Path | None = None) -> Any:
    """A domain's configuration: the named recipe (the first, if none is named) with a TOML file laid over it."""
    this = task(domain)
    known = sorted(path.stem for path in (this.folder / "recipes").glob("*.toml"))
    if name is not None and name not in known:
        raise InputError(f"the domain {domain!r} has no recipe {name!r}{suggestion(name, known)}")
    path = this.folder / "recipes" / f"{name or known[0]}.toml"
    config = update(this.config(), read_toml(path), str(path))
    return update(config, read_toml(file), str(file)) if file else config


def train(
    domain: str,
    name: str,
    config: Any,
    folder: Path,
    resume: bool = False,
    progress: Progress = lambda row: None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Trains a model of `config` in `folder` and returns the path of its weights.

    Nothing is written before the data has been checked. InputError if the folder holds a run and resume is false.
    """
    this = task(domain)
    path = folder / LAST
    if path.exists() and not resume:
        raise InputError(f"{folder}: holds a run already; resume it (--resume) or choose another folder")
    if resume and not path.exists():
        raise InputError(f"{folder}: nothing to resume, there is no {LAST}")
    data, validation = this.data(config)
    say(this.describe(data, validation))
    model = this.model(config, data.facts)
    check_all(model.space, data, "training data")
    check_all(model.space, validation, "validation data")
    meta = {"domain": domain, "name": name, "config": to_dict(config), "facts": dict(data.facts)}
    trainer = Trainer(model, data, validation, config.train, folder, meta, progress)
    if resume:
        trainer.resume()
    write_text(folder / CONFIG, to_toml(config))
    rounds = this.rounds(config)
    for k in range(rounds):
        trainer.data = _round(this, config, trainer, folder, k) if k else data
        trainer.meta = {**trainer.meta, "data": dict(trainer.data.facts)}
        trainer.fit(config.train.steps * (k + 1) // rounds)
    path = folder / f"{model.kind}.safetensors"
    if trainer.fabric.is_global_zero and isinstance(model, NeuralDenoiser):
        plan_grids(path, data, config.train.plan)
    return path


def _round(this: Task, config: Any, trainer: Trainer, folder: Path, k: int) -> Dataset:
    """The data of round k: those in the folder, or made anew by the averaged weights, and kept there for a resume."""
    path = folder / f"round-{k}.safetensors"
    if not path.exists() and trainer.step <= config.train.steps * k // this.rounds(config):
        assert isinstance(trainer.averaged, NeuralDenoiser), "regressors draw no data"
        data = this.renewed(config, trainer.averaged, trainer.data, k)
        checkpoints.save(path, "data", _tensors(data), {"facts": dict(data.facts)})
    if not path.exists():  # a later round has begun long since
        return trainer.data
    tensors, meta = checkpoints.load(path, "data")
    return Arrays(tensors["x"], {}, meta["facts"])


def _tensors(data: Dataset) -> dict[str, torch.Tensor]:
    x, condition = data.batch(torch.arange(len(data)))
    assert isinstance(x, torch.Tensor), "only plain tensors are renewed"
    assert not condition, "only data without conditions are renewed"
    return {"x": x}


def plan_grids(path: Path, data: Dataset, steps: Sequence[int], pilots: int = 64, rounds: int = 20) -> None:
    """Plans the model's time grids on pilot samples with conditions from the data, and saves them with its weights."""
    model = load(path)
    tensors, meta = checkpoints.load(path, "model")
    keys = Keys.of(1_000_003, pilots)
    condition = data.batch(keys.uniform().mul(len(data)).long())[1]
    planned = {n: grids.plan(model, n, keys, condition, rounds=rounds) for n in steps if model.space.clock}
    checkpoints.save(path, "model", tensors, {**meta, "grids": planned})


def check_all(space: Space, data: Dataset, where: str) -> None:
    """Every record must be clean data of the space: InputError names the first that is not."""
    for first in range(0, len(data), 4096):
        index = torch.arange(first, min(first + 4096, len(data)))
        x0, condition = data.batch(index)
        space.where(condition.get("mask")).check(x0, f"{where} from record {first} on" if first else where)


def shipped(kind: str = "model") -> dict[str, Path]:
    """What comes with the installed domains, "domain/name" → folder: models, or what is of the kind "regressor"."""
    found = {}
    for domain in domains():
        try:
            folder = task(domain).folder / "models"
        except InputError:  # its extra is not installed
            continue
        found |= {f"{domain}/{path.parent.name}": path.parent for path in sorted(folder.glob(f"*/{kind}.safetensors"))}
    return found


def locate(model: Path | str, kind: str = "model") -> Path:
    """The weights file of a shipped model's name, a run folder, or a file; InputError if there is none of that kind."""
    path, known = Path(model), shipped(kind)
    if str(model) in known:
        return known[str(model)] / f"{kind}.safetensors"
    if kind == "model" and (str(model) in shipped("regressor") or (path / REGRESSOR).exists()):
        raise InputError(f"{model}: a regressor, which predicts and draws nothing; on.load_regressor loads it")
    if path.is_dir():
        return path / f"{kind}.safetensors"
    if path.is_file():
        return path
    raise InputError(
        f"{model}: no file, run folder or shipped {kind} of that name{suggestion(str(model), list(known))}"
    )


def load(model: Path | str, device: torch.device | str = "cpu") -> NeuralDenoiser:
    """A trained denoiser, ready to sample, from a shipped model's name ("images/digits"), a run folder or a file."""
    denoiser, meta = _loaded(model, "model", device)
    assert isinstance(denoiser, NeuralDenoiser)
    return denoiser.having(grids={int(steps): grid for steps, grid in meta.get("grids", {}).items()})


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
    tensors, meta = checkpoints.load(path, kind)
    this = task(meta["domain"])
    config = update(this.config(), meta["config"], f"{path}: config")
    origin = Origin(meta["domain"], meta["name"], meta["config"], meta["facts"], sha256(path))
    made = this.model(config, meta["facts"], origin)
    checkpoints.load_into(made.network, tensors, path)
    made.network.requires_grad_(False).eval().to(device)
    return made, meta


def pick_device(name: str) -> str:
    """The device of that name, with "auto" for CUDA if there is one; InputError if it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this machine has no CUDA device")
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


_UNSAID = {"exact": "off", "eta": 0.0, "order": None, "grid": "auto"}
"""What leaves the choice of a sampler to the domain."""


def draw(model: NeuralDenoiser, ask: Any, n: int, **options: Any) -> Samples:
    """Samples of what a domain's `ask` means; the options are those of `sample`."""
    assert model.origin is not None
    request = task(model.origin.domain).request(ask, n, model.origin.facts)
    guided = reduce(Denoiser.__and__, request.guides, model)
    said = {name for name, unsaid in _UNSAID.items() if options.get(name, unsaid) != unsaid}
    if request.sampler and not said:
        options["sampler"] = request.sampler(guided.space, options.get("steps"))
    options |= {"start": request.start, "strength": request.strength}
    return sample(guided, n, condition=request.condition, settings=request.record, **options)


def score(folder: Path | str) -> list[Score]:
    """Scores a folder of samples as its field does and appends the result to scores.json there."""
    folder = Path(folder)
    samples = read_samples(folder)
    assert samples.origin is not None
    scores = task(samples.origin.domain).score(samples)
    append_scores(folder, scores)
    return scores


def append_scores(folder: Path, scores: Sequence[Score]) -> None:
    """Adds what was measured just now to scores.json in a folder."""
    path = folder / SCORES
    rows = read_json(path, "earlier scores") if path.exists() else []
    rows.append({"created": datetime.now(UTC).isoformat(timespec="seconds"), "scores": [vars(row) for row in scores]})
    write_json(path, rows)


def latest_scores(folder: Path) -> list[Score]:
    """The scores last written in a folder of samples or beside a shipped model; none if there are none."""
    path = folder / SCORES
    if not path.exists():
        return []
    try:
        return [Score(**row) for row in read_json(path, "scores")[-1]["scores"]]
    except (TypeError, KeyError, IndexError):
        raise InputError(
            f"{path}: not what `ornstein score` writes, a list of scores; remove it and score anew"
        ) from None


def task_of(model: Path | str) -> Task:
    """The domain of a model, read from its weights file."""
    return task(checkpoints.load(locate(model), "model")[1]["domain"])

"""Configurations are frozen dataclasses; TOML files and flags fill them, and an unknown key is an error.

No torch here: the command line must answer before torch is imported.
"""

import json
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError
from .files import SMALL, require, text

Config = TypeVar("Config")


def require_in(config: Any, prefix: str, intervals: Mapping[str, str]) -> None:
    """InputError unless each named number, or every item of a tuple, is in its interval, such as "[0, 1)"; None may.

    prefix: of the name in the error, such as "train.".

    Args:
        config: the configuration, a frozen dataclass.
        intervals: setting → interval, such as "[0, 1)".
    """
    for name, interval in intervals.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not _within(number, interval):
                said = name.replace("_", "-") if prefix == "--" else name  # as flags are written
                raise InputError(f"{prefix}{said} is {number}, expected a number in {interval}")


def require_with(config: Any, prefix: str, needed: Mapping[str, tuple[str, ...]]) -> None:
    """InputError for a setting that was said without any of those that give it a meaning.

    Args:
        config: the configuration, a frozen dataclass.
        prefix: put before the name in an error.
        needed: setting → settings of which one must be given, too.
    """
    for name, others in needed.items():
        if _said(config, name) and not any(_said(config, other) for other in others):
            flags = " or ".join(f"{prefix}{other}" for other in others).replace("_", "-")
            raise InputError(f"{prefix}{name} is for {flags}: give it, too".replace("_", "-"))


def _said(config: Any, name: str) -> bool:
    return getattr(config, name) not in (None, (), "")


def _within(number: float, interval: str) -> bool:
    lowest, highest = map(float, interval[1:-1].split(","))
    above = number >= lowest if interval[0] == "[" else number > lowest
    below = number <= highest if interval[-1] == "]" else number < highest
    return above and below  # neither holds for nan


SEEDS = f"[0, {2**64})"
"""Those that lead to different random numbers."""


@dataclass(frozen=True)
class SampleConfig:
    """How samples of any domain are drawn. What is not said is the model's or the engine's own choice.

    Attributes:
        n: how many; if not said, all that the request speaks of, such as all slices of a volume, else 16.
        first: the number of the first: a sample is the same by its number, whoever draws it.
        seed: the same seed gives the same samples, whatever their number.
        exact: off draws independent samples; particles weighs and resamples guided samples until they follow the model
            times what is known; mcmc weighs draws and moves them by Metropolis's rule until they follow the energy
            that the model was made for.
        steps: of the sampler, one network call each (two with guidance).
        eta: fresh noise a step: 0 deterministic, 1 ancestral (exact = off).
        order: of the solver (exact = off).
        grid: where the steps are: auto is the grid planned for the model (exact = off and particles).
        restarts: how often samples are noised again, up to restart-at, and drawn anew from there (exact = off).
        restart_at: a time, 0 = data, 1 = noise (exact = off).
        batch_size: samples drawn at once, in blocks that are drawn whole (exact = off); particles that go through the
            network at once, all of them if not said (exact = particles).
        particles: how many are weighed for the n samples: 512 or n if that is more, with mcmc 4 n.
        temper: weakens what is known on the way, where a population loses too many particles (exact = particles).
        moves: of every sample by Metropolis's rule (exact = mcmc).
        check: particles of the search, which knows nothing of the model's draws, 0 = none (exact = mcmc).
        tolerance: the largest share of the mass that may be missing from what is called exact, 0.01 if not said (exact
            = mcmc).
        budget: evaluations of the energy, such as 400000, or a time, such as "5 min": the search goes on until the
            tolerance holds or the budget ends (exact = mcmc).
        trajectory: keep the steps, too.
        device: auto takes a CUDA device if there is one.
        threads: of the arithmetic of one process, on which the last digit of a sample may depend; all cores if not
            said, 1 a worker with --on.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "how many, and which": ("n", "first", "seed", "device", "threads"),
        "steps": ("steps", "eta", "order", "grid", "restarts", "restart_at", "batch_size", "trajectory"),
        "exactness": ("exact", "particles", "temper", "moves", "check", "tolerance", "budget"),
    }

    n: int | None = None
    first: int = 0
    seed: int = 0
    exact: Literal["off", "particles", "mcmc"] = "off"
    steps: int | None = None
    eta: float | None = None
    order: Literal[1, 2, 3] | None = None
    grid: Literal["auto", "uniform", "log-snr", "karras", "asinh", "flow"] | None = None
    restarts: int | None = None
    restart_at: float | None = None
    batch_size: int | None = None
    particles: int | None = None
    temper: float | None = None
    moves: int | None = None
    check: int | None = None
    tolerance: float | None = None
    budget: str | None = None
    trajectory: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        require_in(self, "", {"threads": "[1, 4096]"})
        require_in(self, "", {"n": "[1, 1e15)", "steps": "[1, 1e6]", "eta": "[0, 1]", "batch_size": "[1, 1e15)"})
        require_in(self, "", {"particles": "[2, 1e15)", "temper": "[0, inf)", "moves": "[1, 1e6]", "check": "[0, 1e7]"})
        require_in(self, "", {"tolerance": "(0, 1)", "restarts": "[0, 1000]", "restart_at": "(0, 1)"})
        require_in(self, "", {"first": "[0, 1e15)", "seed": SEEDS})


@dataclass(frozen=True)
class SpreadConfig:
    """Who draws independent samples; the samples are the same bit for bit, whoever does.

    Attributes:
        on: dask draws them on the workers of a dask cluster; if not said, this process does.
        workers: of a cluster on this machine, which ends with the command; one a core if not said.
        scheduler: of a cluster that runs already, its address, such as tcp://10.0.0.1:8786, or the scheduler file that
            it wrote. Its workers need the same versions, one thread each, and a folder that all of them see.
        shard: samples that a worker draws and writes at a time, a multiple of batch-size.
        patience: seconds without any worker after which the command ends, and --resume goes on; 600 if not said.
    """

    on: Literal["dask"] | None = None
    workers: int | None = None
    scheduler: str | None = None
    shard: int | None = None
    patience: float | None = None

    def __post_init__(self) -> None:
        require_with(self, "--", dict.fromkeys(("workers", "scheduler", "shard", "patience"), ("on",)))
        require_in(self, "--", {"workers": "[1, 1e4]", "shard": "[1, 1e12]", "patience": "[1, 1e9]"})
        if self.workers is not None and self.scheduler is not None:
            raise InputError("--workers is for a cluster on this machine, --scheduler for one that runs: give one")


_TRAIN_INTERVALS = {
    "steps": "[1, inf)",
    "minutes": "(0, inf)",
    "batch_size": "[1, 1e7]",
    "learning_rate": "(0, inf)",
    "warmup": "[0, inf)",
    "weight_decay": "[0, inf)",
    "clip": "(0, inf)",
    "ema": "[0, 1)",
    "min_time": "(0, 1)",
    "apart": "[0, 1]",
    "condition_dropout": "[0, 1]",
    "seed": SEEDS,
    "plan_path": "[0, 1000]",
    "validate_every": "[1, inf)",
    "validate_on": "[0, inf)",
    "save_every": "[1, inf)",
    "log_every": "[1, inf)",
    "plan": "[2, inf)",
}


@dataclass(frozen=True)
class TrainConfig:
    """How any domain is trained.

    Attributes:
        steps: optimiser updates; not used where minutes are given.
        minutes: of training, instead of steps: the schedule of the learning rate and the run end when the time does. It
            is the time of updates, validations and checkpoints, before and after a resume together.
        batch_size: records an update, over all devices together.
        learning_rate: peak learning rate of AdamW.
        decay: of the learning rate after the warm-up.
        warmup: steps of linear warm-up, also where minutes are given.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema: decay of the weights' running average, which is what samples are drawn with.
        times: how noise levels are drawn: independently, stratified over the batch (low discrepancy), or stratified
            with a density that follows the loss (importance sampling; the objective stays the same).
        min_time: the smallest time trained on.
        apart: share of the records whose parts have times of their own, where data have several parts: one model then
            knows every path through them; 0 = all at the times of the path that samples are drawn on.
        condition_dropout: how often a record's condition is hidden, for classifier-free guidance.
        precision: of the network's arithmetic; auto takes bf16-mixed on CUDA devices that have it (compute capability
            8 and above) and on CPUs that have units for it and are measured to be faster in it, else 32-true.
        device: auto takes the CUDA devices if there are any.
        strategy: how the processes of a torchrun launch share the training: with ddp each has the whole network, with
            fsdp a part of every weight, average and moment, for networks that do not fit on one device; auto is ddp.
        start: the shipped model, run folder or weights file whose weights the training begins with; fresh ones if not
            given. What the network has beyond them begins fresh.
        seed: decides weights, order, noise and times.
        validate_every: steps between validation losses.
        validate_on: the most held-out records a validation loss is of, always the same ones, evenly spread over the
            sizes of records where these differ; 0 = all.
        save_every: steps between checkpoints.
        log_every: steps between rows of metrics.jsonl.
        plan_path: the number of sampling steps for which a path through the times of two parts is planned after the
            training, saved with the model and drawn on by default; 0 = the path of the domain stays.
        plan: the numbers of sampling steps for which time grids are planned after the training; others resample them.
    """

    steps: int = 2000
    minutes: float | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    decay: Literal["cosine", "constant"] = "cosine"
    warmup: int = 100
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.999
    times: Literal["uniform", "stratified", "importance"] = "stratified"
    min_time: float = 1e-3
    apart: float = 0.0
    condition_dropout: float = 0.1
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    start: str = ""
    seed: int = 0
    validate_every: int = 250
    validate_on: int = 2000
    save_every: int = 250
    log_every: int = 10
    plan: tuple[int, ...] = (5, 10, 20, 40)
    plan_path: int = 0

    def __post_init__(self) -> None:
        require_in(self, "train.", _TRAIN_INTERVALS)

    @property
    def length(self) -> str:
        """How long the training is, in words."""
        if self.minutes is None:
            return f"{self.steps} steps"
        return f"{self.minutes:g} minutes (train.minutes is given, so train.steps = {self.steps} is not used)"


RESUMABLE = frozenset(
    {
        "steps",
        "minutes",
        "precision",
        "device",
        "strategy",
        "validate_every",
        "validate_on",
        "save_every",
        "log_every",
        "plan",
        "plan_path",
    }
)
"""The training settings that may change when a run is resumed."""


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file; InputError if it is missing, not a file or malformed."""
    try:
        return tomllib.loads(text(path, SMALL, "a configuration file"))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits among them
        raise InputError(f"{path}: not valid TOML: {error}") from None


def update(config: Config, values: Mapping[str, Any], where: str) -> Config:
    """`config` with `values` laid over it, nested tables included; InputError on an unknown key or a wrong type.

    Args:
        where: the file or flag, for errors.
    """
    assert is_dataclass(config)
    hints = get_type_hints(type(config))
    known = [field.name for field in fields(config)]
    changes = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}{suggestion(key, known)}")
        here = getattr(config, key)
        if is_dataclass(here):
            require(value, dict, f"{where}: {key}")
            changes[key] = update(here, value, f"{where}: {key}")
        else:
            changes[key] = _coerce(value, hints[key], f"{where}: {key}")
    return replace(config, **changes)  # pyright: ignore[reportReturnType, reportArgumentType]


def suggestion(key: str, known: list[str]) -> str:
    """ ", did you mean ...?" with the nearest valid name, or all of them."""
    return nearest(key, known) or f"; valid: {', '.join(known)}"


def nearest(key: str, known: list[str]) -> str:
    """ ", did you mean ...?" with the nearest valid name; nothing if none is near."""
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else ""


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """value as the annotated type, without guessing: only int → float and list → tuple are converted."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if not any(value == one and type(value) is type(one) for one in arguments):
            raise InputError(f"{where} is {reprlib.repr(value)}, expected one of {', '.join(map(str, arguments))}")
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        return _either(value, [kind for kind in arguments if kind is not NoneType], where)
    if origin is tuple:
        items = require(list(value) if isinstance(value, tuple) else value, list, where)
        kinds = arguments[:1] * len(items) if Ellipsis in arguments else arguments
        if len(kinds) != len(items):
            raise InputError(f"{where} has {len(items)} values, expected {len(kinds)}")
        return tuple(_coerce(item, kind, where) for item, kind in zip(items, kinds, strict=True))
    if hint is Path:
        return value if isinstance(value, Path) else Path(require(value, str, where))
    return hint(require(value, hint, where))


def _either(value: Any, kinds: list[Any], where: str) -> Any:
    """value as the first of these types that it is of."""
    *others, last = kinds
    for kind in others:
        try:
            return _coerce(value, kind, where)
        except InputError:
            pass
    return _coerce(value, last, where)


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values that JSON and TOML can hold."""
    return _plain(asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_toml(config: Any) -> str:
    """A configuration as TOML, tables last."""
    return "\n".join(_toml_lines(to_dict(config), ())) + "\n"


def _toml_lines(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"[{'.'.join(path)}]"] if path else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", *_toml_lines(value, (*path, key))]
    return lines

"""`ornstein doctor`: is everything here that should be, and does a known distribution come out right?"""

import platform
from collections.abc import Callable, Iterator

import torch
from rich.markup import escape

from ..denoisers.base import Condition, NeuralDenoiser
from ..denoisers.oracles import ring
from ..denoisers.regressors import Regressor
from ..errors import InputError
from ..events.progress import console
from ..keys import Keys
from ..sampling import grids
from ..sampling.sampler import Sampler
from ..tasks import runs
from ..tasks.drawing import sample
from ..tasks.registry import domains, task


def examine() -> int:
    """Prints one line a check; returns 1 if any failed, else 0."""
    failures = 0
    for name, check in _checks():
        try:
            console.print(f"[green]ok[/]    {name}: {check()}", highlight=False)
        except Exception as error:  # a doctor reports whatever it finds
            failures += 1
            console.print(f"[red]wrong[/] {name}: {escape(str(error))}", highlight=False)
    return min(failures, 1)


def _checks() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "python", platform.python_version
    yield "torch", lambda: f"{torch.__version__}, {torch.get_num_threads()} threads"
    yield "devices", lambda: ", ".join(_devices())
    yield "a known distribution", _ring_comes_out_right
    for domain in domains():
        yield f"domain {domain}", lambda domain=domain: _installed(domain)
    for model, folder in runs.shipped().items():
        yield f"model {model}", lambda folder=folder: _loads(folder / runs.MODEL)
    for model in runs.shipped("regressor"):
        yield f"regressor {model}", lambda model=model: _weights(runs.load_regressor(model))


def _devices() -> list[str]:
    accelerators = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return ["cpu", *accelerators, *(["mps"] if torch.backends.mps.is_available() else [])]


def _ring_comes_out_right() -> str:
    """Eight Gaussians of width .1 on the unit circle: E|x|² = 1.02."""
    x = Sampler(grids.asinh(40, ring().space), (grids.SOLVER,)).run(ring(), Keys.of(0, 4000))
    second_moment = x.square().sum(1).mean().item()
    if abs(second_moment - 1.02) > 0.02:
        raise InputError(f"E|x|² of eight Gaussians on a ring is {second_moment:.4f}, expected 1.02 ± .02")
    return f"E|x|² = {second_moment:.4f}, exact 1.02"


def _installed(domain: str) -> str:
    return task(domain).summary


def _loads(path: object) -> str:
    model = runs.load(str(path))
    needed = frozenset() if model.map is None else model.map.names
    given = _given(model) if needed else {}
    if not needed <= given.keys():
        return f"{_weights(model)}, no draw: its samples must be given {', '.join(sorted(needed))}"
    return f"{_weights(model)}, one draw in {sample(model, 1, steps=2, condition=given).seconds:.2f} s"


def _given(model: NeuralDenoiser) -> Condition:
    """What the first question that a model is judged on gives a sample."""
    assert model.origin is not None
    this, metadata = task(model.origin.domain), model.origin.metadata
    judged = this.judged_on(metadata)
    return this.request(judged[0][0], range(1), metadata).condition if judged else {}


def _weights(model: NeuralDenoiser | Regressor) -> str:
    assert model.origin is not None
    parameters = sum(tensor.numel() for tensor in model.network.state_dict().values())
    return f"{parameters / 1e6:.2f} M parameters, {model.origin.weights[:12]}"

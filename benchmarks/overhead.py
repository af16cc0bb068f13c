"""What a solver costs besides the network, and what its loop can do: compile whole, carry gradients, serve threads."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from threading import Barrier, Thread
from typing import Any

import torch
from torch import Tensor

import ours
import peers
from ornstein.beliefs import Normal
from ornstein.denoisers.base import Condition, Denoiser, Traits
from ornstein.keys import Keys
from ornstein.sampling import grids
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Euclidean
from ornstein.states import State, Time
from worlds import FAR

STEPS, BATCH, WIDTH = 20, 64, 16
Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Loop:
    """A solver's loop of 20 steps around a network.

    Attributes:
        make: the object that users keep, around a network.
        ready: what must be called before each run, on that object.
        run: (object, x) -> x at the data.
    """

    library: str
    name: str
    make: Callable[[Network], Any]
    run: Callable[[Any, Tensor], Tensor]
    ready: Callable[[Any], Any] = lambda made: None
    stochastic: bool = False


def loops() -> Iterator[Loop]:
    """The solvers compared, ours first."""
    yield from _ours()
    yield from _azula()
    yield from _diffusers()
    yield from _k_diffusion()


class _Network(Denoiser):
    """A denoiser whose belief is network(x_t)."""

    def __init__(self, network: Network) -> None:
        self.traits, self.network = Traits(Euclidean((WIDTH,))), network

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        return Normal(self.network(x_t))


def _ours() -> Iterator[Loop]:
    grid, keys = grids.named("asinh", STEPS, Euclidean((WIDTH,))), Keys.of(0, BATCH)
    for name, predictor in {**ours.PREDICTORS, **ours.STOCHASTIC}.items():

        def make(network: Network, predictor: Predictor = predictor) -> Any:
            return Sampler(grid, (predictor,)), _Network(network)

        def run(made: Any, x: Tensor) -> Tensor:
            sampler, denoiser = made
            return sampler.run(denoiser, keys, start=x)

        yield Loop("ornstein", name, make, run, stochastic=predictor.eta > 0)


def _azula() -> Iterator[Loop]:
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "DDIM": ("DDIMSampler", {}),
        "vAB2": ("vABSampler", {"order": 2}),
        "vAB3": ("vABSampler", {"order": 3}),
        "DDPM": ("DDPMSampler", {}),
    }
    for name, (kind, options) in kinds.items():

        def make(network: Network, kind: str = kind, options: dict[str, Any] = options) -> Any:
            denoise = lambda x, sigma: network(x)  # noqa: E731
            return peers.azula_sampler(kind, "rectified", denoise, STEPS, dtype=torch.float32, **options)

        yield Loop("azula", name, make, lambda sampler, x: sampler(x), stochastic=name == "DDPM")
        if name in ("DDIM", "DDPM"):
            yield Loop("azula", f"{name}, own loop over .step", make, _azula_steps, stochastic=name == "DDPM")


def _azula_steps(sampler: Any, x: Tensor) -> Tensor:
    for t, s in sampler.timesteps.unfold(0, 2, 1):
        x = sampler.step(x, t, s)
    return x


def _diffusers() -> Iterator[Loop]:
    sigmas = {"betas": 0.01, "use_karras_sigmas": True}
    trailing = {"betas": "cosine", "timestep_spacing": "trailing"}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "DDIM": ("DDIM", trailing),
        "DPM++2M": ("DPMSolverMultistep", sigmas),
        "DPM++3M": ("DPMSolverMultistep", {"solver_order": 3, **sigmas}),
        "UniPC2": ("UniPCMultistep", sigmas),
        "DDPM": ("DDPM", trailing),
        "SDE-DPM++2": ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++", **sigmas}),
    }
    for name, (kind, options) in kinds.items():

        def make(network: Network, kind: str = kind, options: dict[str, Any] = options) -> Any:
            return peers.diffusers_scheduler(kind, options), network

        stochastic = name in ("DDPM", "SDE-DPM++2")
        yield Loop("diffusers", name, make, _diffusers_steps, lambda made: made[0].set_timesteps(STEPS), stochastic)


def _diffusers_steps(made: Any, x: Tensor) -> Tensor:
    scheduler, network = made
    for t in scheduler.timesteps:
        x = scheduler.step(network(x), t, x).prev_sample
    return x


def _k_diffusion() -> Iterator[Loop]:
    stochastic = ("euler_ancestral", "dpmpp_2m_sde", "dpmpp_3m_sde")
    for name in ("euler", "dpmpp_2m", "lms", *stochastic):
        sampling = peers.k_sampling()
        sigmas = sampling.get_sigmas_karras(STEPS, 0.01, FAR)

        def run(network: Network, x: Tensor, name: str = name, sigmas: Tensor = sigmas) -> Tensor:
            model = lambda x, sigma: network(x)  # noqa: E731
            return getattr(peers.k_sampling(), f"sample_{name}")(model, x, sigmas, disable=True)

        yield Loop("k-diffusion", name, lambda network: network, run, stochastic=name in stochastic)


def overhead(loop: Loop, runs: int = 60) -> float:
    """Microseconds a step without the network: batch 64 × 16, float32, one thread, median of the runs."""
    x, belief = torch.randn(BATCH, WIDTH), torch.randn(BATCH, WIDTH)
    made, seconds = loop.make(lambda x: belief), []
    with torch.no_grad():
        for _ in range(5 + runs):
            loop.ready(made)
            begin = time.perf_counter()
            loop.run(made, x)
            seconds.append(time.perf_counter() - begin)
    return median(seconds[5:]) / STEPS * 1e6


def smooth(x: Tensor) -> Tensor:
    """A network to differentiate: bounded, smooth, without parameters."""
    return torch.tanh(0.7 * x) + 0.1 * torch.sin(x)


def gradient_of(function: Callable[[Tensor], Tensor]) -> Tensor:
    """∂/∂x of a fixed projection of function(x)."""
    x = _start().requires_grad_()
    y = function(x)
    return torch.autograd.grad((y * torch.cos(torch.arange(y.numel()).reshape(y.shape))).sum(), x)[0]


def capabilities(loop: Loop) -> dict[str, bool]:
    """What the loop can do, each tried out."""
    checks = {
        "compile": _compiles,
        "gradients": _differentiates,
        "both": _both,
        "threads": _threads,
    }
    return {name: _holds(partial(check, loop)) for name, check in checks.items()}


def _holds(check: Callable[[], bool]) -> bool:
    torch._dynamo.reset()
    try:
        return check()
    except Exception:
        return False


def _once(loop: Loop, made: Any, x: Tensor) -> Tensor:
    loop.ready(made)
    torch.manual_seed(0)
    return loop.run(made, x)


def _compiled(loop: Loop, made: Any) -> Callable[[Tensor], Tensor]:
    compiled = torch.compile(lambda x: loop.run(made, x), fullgraph=True, backend="aot_eager")

    def once(x: Tensor) -> Tensor:
        loop.ready(made)
        torch.manual_seed(0)
        return compiled(x)

    return once


def _start() -> Tensor:
    return torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(0))


def _compiles(loop: Loop) -> bool:
    made, x = loop.make(smooth), _start()
    with torch.no_grad():
        found = _compiled(loop, made)(x)
        return torch.allclose(found, _once(loop, made, x), rtol=1e-3, atol=1e-4) if not loop.stochastic else True


def _differentiates(loop: Loop) -> bool:
    """The gradient along itself is the change of the loop's value there."""
    made = loop.make(smooth)
    gradient, x, h = gradient_of(partial(_once, loop, made)), _start(), 1e-2
    direction = gradient / gradient.norm()
    weight = torch.cos(torch.arange(x.numel()).reshape(x.shape))
    ends = [(_once(loop, made, x + sign * h * direction) * weight).sum().item() for sign in (1, -1)]
    return abs((ends[0] - ends[1]) / (2 * h) / gradient.norm().item() - 1) < 0.05


def _both(loop: Loop) -> bool:
    made = loop.make(smooth)
    found = gradient_of(_compiled(loop, made))
    return loop.stochastic or torch.allclose(found, gradient_of(partial(_once, loop, made)), rtol=1e-2, atol=1e-3)


def _threads(loop: Loop) -> bool:
    """Two threads that use one object at once, each step waiting a little, find what they find alone."""

    def slow(x: Tensor) -> Tensor:
        time.sleep(5e-4)
        return smooth(x)

    made, starts = loop.make(slow), [_start(), -2 * _start() + 0.3]
    with torch.no_grad():
        alone = [_once(loop, made, x) for x in starts]
    found: list[Any] = [None, None]
    together = Barrier(2)

    def work(k: int) -> None:
        with torch.no_grad():
            loop.ready(made)
            together.wait()
            found[k] = loop.run(made, starts[k])

    threads = [Thread(target=_quietly, args=(work, k)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(x is None for x in found):
        return False
    return loop.stochastic or all(torch.allclose(a, b) for a, b in zip(alone, found, strict=True))


def _quietly(work: Callable[[int], None], k: int) -> None:
    try:
        work(k)
    except Exception:
        return

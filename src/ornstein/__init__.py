"""Ornstein: learn to undo noise on any kind of data, say what you know, get calibrated samples of what you don't."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("ornstein")

# Names are imported on first use: the command line answers before torch has loaded.
_HOMES = {
    "anneal": "mcmc.annealing",
    "Belief": "beliefs",
    "Joint": "beliefs",
    "Normal": "beliefs",
    "Probs": "beliefs",
    "calculated": "guidance.calculators",
    "calibrate": "tasks.calibration",
    "Calibration": "tasks.calibration",
    "Foreseen": "tasks.calibration",
    "Shift": "tasks.calibration",
    "Target": "tasks.calibration",
    "Chains": "mcmc.chains",
    "Autoguide": "denoisers.composition",
    "mixture": "denoisers.composition",
    "negation": "denoisers.composition",
    "product": "denoisers.composition",
    "Prompt": "denoisers.composition",
    "Denoiser": "denoisers.base",
    "Guide": "denoisers.base",
    "NeuralDenoiser": "denoisers.base",
    "Traits": "denoisers.base",
    "with_covariance": "denoisers.base",
    "Density": "mcmc.densities",
    "energy_difference": "denoisers.energy",
    "EnergyDenoiser": "denoisers.energy",
    "score": "denoisers.energy",
    "InputError": "errors",
    "BlackBox": "guidance.factors",
    "Energy": "guidance.factors",
    "Factor": "guidance.factors",
    "LogProb": "guidance.factors",
    "NoisyLogProb": "guidance.factors",
    "hybrid": "tasks.boltzmann",
    "refine": "tasks.boltzmann",
    "Heun": "sampling.kernels",
    "Predictor": "sampling.kernels",
    "Renoise": "sampling.kernels",
    "Walk": "sampling.kernels",
    "Keys": "keys",
    "draw_with_log_prob": "sampling.likelihood",
    "elbo": "sampling.likelihood",
    "log_prob": "sampling.likelihood",
    "Fixed": "guidance.measurements",
    "Measurement": "guidance.measurements",
    "Gibbs": "mcmc.moves",
    "HMC": "mcmc.moves",
    "Independence": "mcmc.moves",
    "Informed": "mcmc.moves",
    "MALA": "mcmc.moves",
    "Particles": "sampling.particles",
    "Regressor": "denoisers.regressors",
    "load": "tasks.runs",
    "load_regressor": "tasks.runs",
    "shipped": "tasks.runs",
    "Sampler": "sampling.sampler",
    "Event": "events",
    "draws": "tasks.drawing",
    "sample": "tasks.drawing",
    "Independent": "tasks.engines",
    "MCMC": "tasks.engines",
    "Population": "tasks.engines",
    "draw": "tasks.requests",
    "drawing": "tasks.requests",
    "merge": "tasks.requests",
    "Samples": "tasks.samples",
    "Cosine": "schedules",
    "EDM": "schedules",
    "Linear": "schedules",
    "RectifiedFlow": "schedules",
    "Schedule": "schedules",
    "VarianceExploding": "schedules",
    "Categorical": "spaces",
    "Centered": "spaces",
    "Euclidean": "spaces",
    "Ordered": "spaces",
    "Product": "spaces",
    "Space": "spaces",
    "Transition": "spaces",
    "Boltzmann": "mcmc.targets",
    "Tempering": "mcmc.tempering",
    "FirstHitting": "sampling.unmasking",
    "InformedCorrector": "sampling.unmasking",
    "Remask": "sampling.unmasking",
    "Sharpened": "sampling.unmasking",
    "Unmask": "sampling.unmasking",
    "from_diffusers": "denoisers.diffusers",
}
_MODULES = {
    "chains": "mcmc.chains",
    "folding": "domains.sequences.folding",
    "grids": "sampling.grids",
    "operators": "guidance.operators",
    "oracles": "denoisers.oracles",
    "testing": "testing",
}

__all__ = [*_HOMES, *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    from .tasks.registry import domains, package

    if name in domains():
        return package(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from . import testing
    from .beliefs import Belief, Joint, Normal, Probs
    from .denoisers import oracles
    from .denoisers.base import Denoiser, Guide, NeuralDenoiser, Traits, with_covariance
    from .denoisers.composition import Autoguide, Prompt, mixture, negation, product
    from .denoisers.diffusers import from_diffusers
    from .denoisers.energy import EnergyDenoiser, energy_difference, score
    from .denoisers.regressors import Regressor
    from .domains import energies, images, molecules, sequences
    from .domains.sequences import folding
    from .errors import InputError
    from .events import Event
    from .guidance import operators
    from .guidance.calculators import calculated
    from .guidance.factors import BlackBox, Energy, Factor, LogProb, NoisyLogProb
    from .guidance.measurements import Fixed, Measurement
    from .keys import Keys
    from .mcmc import chains
    from .mcmc.annealing import anneal
    from .mcmc.chains import Chains
    from .mcmc.densities import Density
    from .mcmc.moves import HMC, MALA, Gibbs, Independence, Informed
    from .mcmc.targets import Boltzmann
    from .mcmc.tempering import Tempering
    from .sampling import grids
    from .sampling.kernels import Heun, Predictor, Renoise, Walk
    from .sampling.likelihood import draw_with_log_prob, elbo, log_prob
    from .sampling.particles import Particles
    from .sampling.sampler import Sampler
    from .sampling.unmasking import FirstHitting, InformedCorrector, Remask, Sharpened, Unmask
    from .schedules import EDM, Cosine, Linear, RectifiedFlow, Schedule, VarianceExploding
    from .spaces import Categorical, Centered, Euclidean, Ordered, Product, Space, Transition
    from .tasks.boltzmann import hybrid, refine
    from .tasks.calibration import Calibration, Foreseen, Shift, Target, calibrate
    from .tasks.drawing import draws, sample
    from .tasks.engines import MCMC, Independent, Population
    from .tasks.requests import draw, drawing, merge
    from .tasks.runs import load, load_regressor, shipped
    from .tasks.samples import Samples

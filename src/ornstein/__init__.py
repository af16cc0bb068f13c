"""Ornstein: learn to undo noise on any kind of data, say what you know, get calibrated samples of what you don't."""

from difflib import get_close_matches
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
    "guidance_strength": "tasks.strength",
    "GuidanceStrength": "tasks.strength",
    "ValueFunction": "tasks.strength",
    "ExponentialTilt": "tasks.strength",
    "MomentConstraint": "tasks.strength",
    "Chains": "mcmc.chains",
    "Autoguidance": "denoisers.composition",
    "mixture": "denoisers.composition",
    "negation": "denoisers.composition",
    "product": "denoisers.composition",
    "ClassifierFreeGuidance": "denoisers.composition",
    "Denoiser": "denoisers.base",
    "Guide": "denoisers.base",
    "Map": "denoisers.maps",
    "mapped": "denoisers.mapped",
    "physical": "denoisers.mapped",
    "NeuralDenoiser": "denoisers.base",
    "Traits": "denoisers.base",
    "with_covariance": "denoisers.tweedie",
    "Density": "mcmc.densities",
    "energy_difference": "denoisers.energy",
    "EnergyDenoiser": "denoisers.energy",
    "OneStep": "denoisers.onestep",
    "score": "denoisers.energy",
    "InputError": "errors",
    "Reward": "guidance.factors",
    "Energy": "guidance.factors",
    "Factor": "guidance.factors",
    "ClassifierGuidance": "guidance.classifiers",
    "NoisyClassifierGuidance": "guidance.classifiers",
    "boltzmann": "tasks.boltzmann",
    "refine": "tasks.boltzmann",
    "Heun": "sampling.kernels",
    "Predictor": "sampling.kernels",
    "Restart": "sampling.kernels",
    "SamplerState": "sampling.kernels",
    "Keys": "keys",
    "draw_with_log_prob": "sampling.flows",
    "elbo": "sampling.likelihood",
    "log_prob": "sampling.likelihood",
    "Bounded": "guidance.constraints",
    "Constraint": "guidance.constraints",
    "Fixed": "guidance.measurements",
    "Measurement": "guidance.measurements",
    "Exchange": "mcmc.clouds",
    "Rotation": "mcmc.clouds",
    "EllipticalSlice": "mcmc.elliptical",
    "Gibbs": "mcmc.moves",
    "HMC": "mcmc.moves",
    "IndependentMetropolis": "mcmc.moves",
    "InTurn": "mcmc.turns",
    "LocallyInformed": "mcmc.moves",
    "Alternating": "mcmc.discrete",
    "DiscreteLangevin": "mcmc.discrete",
    "Substitutions": "mcmc.discrete",
    "MALA": "mcmc.moves",
    "Particles": "sampling.particles",
    "Regressor": "denoisers.regressors",
    "load": "tasks.runs",
    "load_regressor": "tasks.runs",
    "shipped": "tasks.runs",
    "Sampler": "sampling.sampler",
    "Event": "events",
    "trust": "report.trust",
    "draw_all": "tasks.parallel.asks",
    "drawing_all": "tasks.parallel.asks",
    "draws": "tasks.drawing",
    "sample": "tasks.drawing",
    "Independent": "tasks.engines",
    "MCMC": "tasks.engines",
    "Population": "tasks.engines",
    "Ask": "tasks.parallel.outcomes",
    "draw": "tasks.requests",
    "drawing": "tasks.requests",
    "merge": "tasks.storage.merging",
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
    "Autoregressive": "spaces",
    "Product": "spaces",
    "Space": "spaces",
    "Transition": "spaces",
    "Boltzmann": "mcmc.targets",
    "ParallelTempering": "mcmc.tempering",
    "FirstHitting": "sampling.unmasking",
    "InformedCorrector": "sampling.unmasking",
    "Remask": "sampling.unmasking",
    "TemperatureTopP": "sampling.unmasking",
    "Unmask": "sampling.unmasking",
    "windowed": "denoisers.windows",
    "from_diffusers": "denoisers.diffusers",
}
_MODULES = {
    "calibration": "calibration",
    "chains": "mcmc.chains",
    "constraints": "guidance.constraints",
    "fields": "training.fields",
    "folding": "domains.sequences.folding",
    "grids": "sampling.grids",
    "maps": "guidance.maps",
    "networks": "networks",
    "operators": "guidance.operators",
    "oracles": "denoisers.oracles",
    "roots": "spectral.roots",
    "testing": "testing",
    "transforms": "spectral.transforms",
}

_RENAMED = {
    "Autoguide": "Autoguidance",
    "BlackBox": "Reward",
    "Calibration": "GuidanceStrength",
    "Foreseen": "ValueFunction",
    "Independence": "IndependentMetropolis",
    "Informed": "LocallyInformed",
    "LogProb": "ClassifierGuidance",
    "NoisyLogProb": "NoisyClassifierGuidance",
    "Prompt": "ClassifierFreeGuidance",
    "Renoise": "Restart",
    "Sharpened": "TemperatureTopP",
    "Shift": "ExponentialTilt",
    "Target": "MomentConstraint",
    "Tempering": "ParallelTempering",
    "Walk": "SamplerState",
    "calibrate": "guidance_strength",
    "hybrid": "boltzmann",
}
"""Old names, for one version."""

__all__ = [*_HOMES, *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        from .deprecation import warn

        warn(f"{__name__}.{name}", f"{__name__}.{_RENAMED[name]}")
        return __getattr__(_RENAMED[name])
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    from .tasks.registry import domains, package

    if name in domains():
        return package(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_suggestion(name, [*__all__, *domains()])}")


def _suggestion(name: str, known: list[str]) -> str:
    near = get_close_matches(name.lower(), [one.lower() for one in known], n=1, cutoff=0.6)
    return "".join(f". Did you mean: {one!r}?" for one in known if one.lower() in near)


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from . import calibration, networks, testing
    from .beliefs import Belief, Joint, Normal, Probs
    from .denoisers import oracles
    from .denoisers.base import Denoiser, Guide, NeuralDenoiser, Traits
    from .denoisers.composition import Autoguidance, ClassifierFreeGuidance, mixture, negation, product
    from .denoisers.diffusers import from_diffusers
    from .denoisers.energy import EnergyDenoiser, energy_difference, score
    from .denoisers.mapped import mapped, physical
    from .denoisers.maps import Map
    from .denoisers.onestep import OneStep
    from .denoisers.regressors import Regressor
    from .denoisers.tweedie import with_covariance
    from .denoisers.windows import windowed
    from .domains import energies, images, molecules, mri, poisson, sequences, weather
    from .domains.sequences import folding
    from .errors import InputError
    from .events import Event
    from .guidance import constraints, maps, operators
    from .guidance.calculators import calculated
    from .guidance.classifiers import ClassifierGuidance, NoisyClassifierGuidance
    from .guidance.constraints import Bounded, Constraint
    from .guidance.factors import Energy, Factor, Reward
    from .guidance.measurements import Fixed, Measurement
    from .keys import Keys
    from .mcmc import chains
    from .mcmc.annealing import anneal
    from .mcmc.chains import Chains
    from .mcmc.clouds import Exchange, Rotation
    from .mcmc.densities import Density
    from .mcmc.discrete import Alternating, DiscreteLangevin, Substitutions
    from .mcmc.elliptical import EllipticalSlice
    from .mcmc.moves import HMC, MALA, Gibbs, IndependentMetropolis, LocallyInformed
    from .mcmc.targets import Boltzmann
    from .mcmc.tempering import ParallelTempering
    from .mcmc.turns import InTurn
    from .report.trust import trust
    from .sampling import grids
    from .sampling.flows import draw_with_log_prob
    from .sampling.kernels import Heun, Predictor, Restart, SamplerState
    from .sampling.likelihood import elbo, log_prob
    from .sampling.particles import Particles
    from .sampling.sampler import Sampler
    from .sampling.unmasking import FirstHitting, InformedCorrector, Remask, TemperatureTopP, Unmask
    from .schedules import EDM, Cosine, Linear, RectifiedFlow, Schedule, VarianceExploding
    from .spaces import Autoregressive, Categorical, Centered, Euclidean, Product, Space, Transition
    from .spectral import roots, transforms
    from .tasks.boltzmann import boltzmann, refine
    from .tasks.drawing import draws, sample
    from .tasks.engines import MCMC, Independent, Population
    from .tasks.parallel.asks import draw_all, drawing_all
    from .tasks.parallel.outcomes import Ask
    from .tasks.requests import draw, drawing
    from .tasks.runs import load, load_regressor, shipped
    from .tasks.samples import Samples
    from .tasks.storage.merging import merge
    from .tasks.strength import ExponentialTilt, GuidanceStrength, MomentConstraint, ValueFunction, guidance_strength
    from .training import fields

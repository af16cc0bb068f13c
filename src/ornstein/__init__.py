"""Ornstein: learn to undo noise on any kind of data, say what you know, get calibrated samples of what you don't."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("ornstein")

# Names are imported on first use: the command line answers before torch has loaded.
_HOMES = {
    "anneal": "annealing",
    "Belief": "beliefs",
    "Joint": "beliefs",
    "Normal": "beliefs",
    "Probs": "beliefs",
    "calculated": "calculators",
    "calibrate": "calibration",
    "Calibration": "calibration",
    "Foreseen": "calibration",
    "Shift": "calibration",
    "Target": "calibration",
    "Chains": "chains",
    "Autoguide": "composition",
    "mixture": "composition",
    "negation": "composition",
    "product": "composition",
    "Prompt": "composition",
    "Denoiser": "denoisers",
    "Guide": "denoisers",
    "NeuralDenoiser": "denoisers",
    "with_covariance": "denoisers",
    "Density": "densities",
    "energy_difference": "energetic",
    "EnergyDenoiser": "energetic",
    "score": "energetic",
    "InputError": "errors",
    "BlackBox": "factors",
    "Energy": "factors",
    "Factor": "factors",
    "LogProb": "factors",
    "NoisyLogProb": "factors",
    "hybrid": "bridge",
    "refine": "bridge",
    "Heun": "kernels",
    "Predictor": "kernels",
    "Renoise": "kernels",
    "Walk": "kernels",
    "Keys": "keys",
    "draw_with_log_prob": "likelihood",
    "elbo": "likelihood",
    "log_prob": "likelihood",
    "Fixed": "measurements",
    "Measurement": "measurements",
    "Gibbs": "moves",
    "HMC": "moves",
    "Independence": "moves",
    "Informed": "moves",
    "MALA": "moves",
    "Particles": "particles",
    "Regressor": "regressors",
    "load": "runs",
    "load_regressor": "runs",
    "shipped": "runs",
    "Sampler": "samplers",
    "sample": "samples",
    "Samples": "samples",
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
    "Boltzmann": "targets",
    "Tempering": "tempering",
    "FirstHitting": "unmasking",
    "InformedCorrector": "unmasking",
    "Remask": "unmasking",
    "Sharpened": "unmasking",
    "Unmask": "unmasking",
    "from_diffusers": "vision.pipelines",
}
_MODULES = ("chains", "folding", "grids", "operators", "oracles", "testing")

__all__ = [*_HOMES, *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    from .tasks import domains

    if name in domains():
        return import_module(f".domains.{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from . import chains, folding, grids, operators, oracles, testing
    from .annealing import anneal
    from .beliefs import Belief, Joint, Normal, Probs
    from .bridge import hybrid, refine
    from .calculators import calculated
    from .calibration import Calibration, Foreseen, Shift, Target, calibrate
    from .chains import Chains
    from .composition import Autoguide, Prompt, mixture, negation, product
    from .denoisers import Denoiser, Guide, NeuralDenoiser, with_covariance
    from .densities import Density
    from .domains import energies, images, molecules, sequences
    from .energetic import EnergyDenoiser, energy_difference, score
    from .errors import InputError
    from .factors import BlackBox, Energy, Factor, LogProb, NoisyLogProb
    from .kernels import Heun, Predictor, Renoise, Walk
    from .keys import Keys
    from .likelihood import draw_with_log_prob, elbo, log_prob
    from .measurements import Fixed, Measurement
    from .moves import HMC, MALA, Gibbs, Independence, Informed
    from .particles import Particles
    from .regressors import Regressor
    from .runs import load, load_regressor, shipped
    from .samplers import Sampler
    from .samples import Samples, sample
    from .schedules import EDM, Cosine, Linear, RectifiedFlow, Schedule, VarianceExploding
    from .spaces import Categorical, Centered, Euclidean, Ordered, Product, Space, Transition
    from .targets import Boltzmann
    from .tempering import Tempering
    from .unmasking import FirstHitting, InformedCorrector, Remask, Sharpened, Unmask
    from .vision.pipelines import from_diffusers

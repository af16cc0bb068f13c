"""What the tour shows of an energy: proposals of the model, and what becomes of them."""

from ...denoisers.base import NeuralDenoiser
from ...tasks.drawing import sample
from ...tasks.figures import Chapter
from ...text.escaping import html
from . import metrics
from .data import System
from .factors import boltzmann
from .judging import judged


def corrected_title(system: System) -> str:
    """Of the chapter `corrected`."""
    return f"{system.name}: from proposals to exp(−E)"


def corrected(denoiser: NeuralDenoiser, system: System, seed: int, n: int = 300) -> Chapter:
    """What the model proposes, and what becomes of it.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        system: the energy with its reference values.
        seed: of all random numbers.
        n: number of samples.
    """
    found = sample(denoiser & boltzmann(system), n, seed=seed, exact="mcmc", particles=2000)
    sets = {"proposed": sample(denoiser, n, seed=seed).x, "corrected": found.x}
    plane = [metrics.on_landscape(sets, system)] if system.shape == (2,) else []
    assert denoiser.origin is not None
    training = f"{denoiser.origin.metadata['gradients']:,}"
    energies = {name: metrics.energies(x, system) for name, x in sets.items()}
    figures = [*plane, metrics.histograms(energies, system)]
    return Chapter(
        corrected_title(system),
        f"{n} samples, {html(str(found.exactness))}. The first data of the training took {training} gradients. "
        f"Draw your own: <code>ornstein sample energies/{denoiser.origin.name} --n 1000 --exact mcmc</code>",
        figures,
        judged(found, system),
        figures[0],
    )

"""A knob in the report: the mean of a property measured at strengths γ, beside what unguided samples predict."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from ..tasks.brackets import tilted_mean
from ..tasks.figures import Chapter, Figure, Metric
from ..tasks.strength import Law
from . import plots


def chapter(title: str, text: str, name: str, measured: Mapping[float, Float[Tensor, " n"]]) -> Chapter:
    """E[w] against γ.

    Args:
        text: what was drawn; where the line holds is added.
        name: of w, with its unit.
        measured: w of the samples at each γ; those at 0 are the unguided ones.
        title: heading.
    """
    gammas, free = sorted(measured), measured[0.0]
    law, n = Law.of(free), len(free)
    means = [measured[gamma].mean().item() for gamma in gammas]
    predicted = [tilted_mean(free, gamma) for gamma in gammas]
    lines = {
        "measured": (gammas, means),
        "the line μ + σ²γ": (gammas, [law(gamma) for gamma in gammas]),
        "unguided samples, reweighted": (gammas, predicted),
    }
    worst = max(abs(m - p) for m, p in zip(means, predicted, strict=True))
    reach = f"The line holds to 5 % for |γ| up to {law.trusted:.2g}, reweighting beyond."
    alt = f"Curves of {name} against γ: {', '.join(lines)}"
    chance = law.variance**0.5 * (2 / n) ** 0.5 * 2
    return Chapter(
        title,
        f"{text} {reach}",
        [Figure(plots.curves(lines, "γ", name), "Measured and predicted", "svg+xml", alt=alt)],
        [
            Metric(
                "largest error of the prediction",
                worst,
                "lower",
                f"{name}, over all γ.",
                chance,
                "95 % level of chance",
            )
        ],
    )

"""The knob of guidance: the mean of w under p(x₀) exp(γ w), exact and by every method, on three modes.

python -m benchmarks.guidance
"""

from collections.abc import Mapping

import torch

from ornstein.report.posteriors import exact_mean, three_modes
from ornstein.tasks.brackets import tilted_mean
from ornstein.tasks.drawing import sample
from ornstein.tasks.strength import ExponentialTilt, Law, StrengthSearch, guidance_strength

GAMMAS = (-1.0, -0.5, 0.5, 1.0)


def first(x: torch.Tensor) -> torch.Tensor:
    """w."""
    return x[:, 0]


def table(n: int, seed: int) -> Mapping[str, list[float]]:
    """E[w] at each of GAMMAS, by method."""
    world, along = three_modes(), torch.ones(1, dtype=torch.float64)
    knob = StrengthSearch(world, first, n)
    values = knob.draw(0.0, seed)[0]
    law = Law.of(values)
    methods = {
        "exact": lambda gamma: exact_mean(world, gamma),
        "the line": law,
        "predicted from unguided samples": lambda gamma: tilted_mean(values, gamma),
        "guided only": lambda gamma: first(sample(world & knob.guide(gamma), n, 50, seed=seed).x).mean().item(),
        "particles": lambda gamma: knob.draw(gamma, seed)[0].mean().item(),
        "shift": lambda gamma: first(sample(world & ExponentialTilt(along, gamma), n, seed=seed).x).mean().item(),
    }
    return {name: [method(gamma) for gamma in GAMMAS] for name, method in methods.items()}


def main(n: int = 8000, seed: int = 0) -> None:
    """Prints the table, and a calibration."""
    print(f"{'gamma':34s}" + "".join(f"{gamma:9.1f}" for gamma in GAMMAS))
    for name, means in table(n, seed).items():
        print(f"{name:34s}" + "".join(f"{mean:9.3f}" for mean in means))
    found = guidance_strength(three_modes(), first, 3.0, n=20_000, seed=seed)
    print(found)
    print(f"exact mean at that γ: {exact_mean(three_modes(), found.gamma):.4f}")


if __name__ == "__main__":
    main()

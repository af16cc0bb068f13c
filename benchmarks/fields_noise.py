"""White noise and noise with a spectrum, on random fields: error against the number of steps, without sampling error.

    .venv/bin/python benchmarks/fields_noise.py

The field is 64 × 64, periodic, with a variance ∝ k⁻³ a mode, and its denoiser exact, so that all error is the solver's.
The probability flow is then a gain h_k a mode: a start of ones in every mode of the noise comes out as h_k, and the law
that is drawn has the spectrum h_k². Beside s_k², that of the field,

    W₂     √(Σ (h − s)² / Σ s²), the Wasserstein-2 distance over the size of the field
    worst  max |h/s − 1|, of the mode that is furthest off: the sharpness of the field
"""

import torch
from torch import Tensor

from ornstein.denoisers.fields import gaussian_field
from ornstein.keys import Keys
from ornstein.sampling import grids
from ornstein.sampling.sampler import Sampler
from ornstein.spectral.roots import Spectral, power_law
from ornstein.spectral.transforms import periodic

SIDE, EXPONENT, STEPS = 64, 3.0, (5, 8, 10, 15, 20, 30, 50)


def drawn(field: Spectral, noise: Spectral | None, steps: int) -> Tensor:
    """h_k of the default solver on its default grid."""
    world = gaussian_field(field, noise_cov=noise)
    ones = torch.ones(1, *field.shape, dtype=torch.float64)
    width = world.space.schedule.sigma(1.0).item()  # type: ignore[attr-defined]
    start = width * field.basis.inverse(ones if noise is None else noise.variance.sqrt())
    walk = Sampler(grids.named("asinh", steps, world.space), (grids.SOLVER,)).steps(world, Keys.of(0, 1), {}, start)
    return field.basis.forward([state.x for state in walk][-1])[0]


def errors(field: Spectral, noise: Spectral | None, steps: int) -> tuple[float, float]:
    """W₂ and worst."""
    h, s = drawn(field, noise, steps), field.variance[0].sqrt()
    return float(((h - s).square().sum() / s.square().sum()).sqrt()), float((h / s - 1).abs().max())


def main() -> None:
    field = power_law((SIDE, SIDE), EXPONENT, periodic())
    noises = {"white": None, "k^(−3/2)": field.power(0.5), "k⁻³, as the field": field}
    print(f"W₂ and worst mode, {SIDE} × {SIDE}, k⁻³")
    print("| steps | " + " | ".join(noises) + " |\n|" + "---|" * (1 + len(noises)))
    for steps in STEPS:
        each = (errors(field, noise, steps) for noise in noises.values())
        print(f"| {steps} | " + " | ".join(f"{w2:.2%}, {worst:.2%}" for w2, worst in each) + " |")


if __name__ == "__main__":
    main()

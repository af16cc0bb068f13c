"""Posteriors of random fields against kriging, and the evidence of a thousand numbers.

    .venv/bin/python benchmarks/fields_posterior.py

A periodic field of 64 × 64 with a variance ∝ k⁻³ a mode, standard deviation 1, is seen at 3 % of its points with noise
of 0.1. Its posterior is Gaussian, and known (kriging): mean m, pixel-wise standard deviation s. With the exact
denoiser,

    mean       |x̄ − m| / |m| of so many samples, exact="off", and what their number alone makes of it
    spread     the mean of std(x)/s − 1, pixel by pixel
    coverage   of the 90 % interval of 39 samples, over the points of other fields, each with its own measurements
    evidence   of 1,000 numbers, by particles, against the closed form
"""

import argparse

import torch
from torch import Tensor

from ornstein.denoisers.fields import GaussianField, gaussian_field
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Mask
from ornstein.keys import Keys
from ornstein.spectral.roots import power_law
from ornstein.spectral.transforms import periodic
from ornstein.tasks.drawing import sample

STD, MEMBERS = 0.1, 39


def world(side: int) -> GaussianField:
    return gaussian_field(power_law((side, side), 3, periodic()))


def places(field: GaussianField, number: int) -> Tensor:
    """So many of the points, true."""
    order = Keys.of(6, 1).uniform(*field.field.shape)[0].flatten().argsort()
    return torch.zeros(order.shape, dtype=torch.bool).index_fill(0, order[:number], True).reshape(field.field.shape)


def seen(field: GaussianField, where: Tensor, seed: int, n: int) -> tuple[Tensor, Tensor]:
    """n fields, and what is measured of each."""
    keys = Keys.of(seed, n)
    truths = field.draw(keys)
    noise = keys.fold("noise").normal(int(where.sum())).to(truths)
    return truths, truths[:, where] + STD * noise


def mean_and_spread(field: GaussianField, where: Tensor, n: int, steps: int) -> tuple[float, float, float]:
    _, y = seen(field, where, 5, 1)
    factor = Measurement(y[0], Mask(where), STD)
    _, exact = field.posterior(factor)
    assert exact.cov is not None
    units = torch.eye(where.numel(), dtype=torch.float64).reshape(-1, *where.shape)
    std = exact.cov(units).flatten(1).diagonal().sqrt().reshape(where.shape)
    x = sample(field & factor, n, steps=steps, seed=1).x.double()
    size = float(exact.mean.norm())
    alone = float((std.square().sum() / n).sqrt()) / size
    return float((x.mean(0) - exact.mean[0]).norm()) / size, alone, float((x.std(0) / std).mean()) - 1


def coverage(field: GaussianField, where: Tensor, n: int, steps: int) -> tuple[float, float]:
    """Of the second smallest to the second largest of 39, which holds a new draw with 36/40, and its standard error."""
    truths, y = seen(field, where, 8, n)
    factor = Measurement(y.repeat_interleave(MEMBERS, 0), Mask(where), STD)
    x = sample(field & factor, n * MEMBERS, steps=steps, seed=3).x.reshape(n, MEMBERS, *where.shape).sort(1).values
    inside = ((truths > x[:, 1]) & (truths < x[:, -2])).flatten(1).double().mean(1)
    return float(inside.mean()), float(inside.std()) / n**0.5


def evidence(field: GaussianField, number: int, particles: int, steps: int) -> tuple[float, float, float]:
    where = places(field, number)
    _, y = seen(field, where, 5, 1)
    factor = Measurement(y[0], Mask(where), STD)
    exact, _ = field.posterior(factor)
    found = sample(field & factor, particles, steps=steps, exact="particles", particles=particles).exactness
    return float(exact), found.log_evidence, found.error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("side", 64), ("samples", 1500), ("fields", 60), ("steps", 15), ("particles", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    field = world(options.side)
    where = places(field, round(0.03 * options.side**2))
    exact, found, error = evidence(field, options.side**2 * 1000 // 4096, options.particles, options.steps)
    print(f"evidence   {found:.4f} ± {error:.4f}, exactly {exact:.4f}", flush=True)
    off, alone, spread = mean_and_spread(field, where, options.samples, options.steps)
    print(f"mean       {off:.2%}, of which their number alone {alone:.2%}\nspread     {spread:+.2%}", flush=True)
    inside, error = coverage(field, where, options.fields, options.steps)
    print(f"coverage   {inside:.2%} ± {error:.2%} of 90 %")


if __name__ == "__main__":
    main()

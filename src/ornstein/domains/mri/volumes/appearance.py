"""What makes one scanner's picture of a head unlike another's: contrast, fat, shading, sharpness, noise and phase."""

import numpy as np
from jaxtyping import Complex, Float

from .planes import smooth

KNOTS = np.linspace(0.0, 1.2, 7)
"""Of the curve from an intensity to another."""


def varied(
    picture: Float[np.ndarray, "h w"], brain: Float[np.ndarray, "h w"] | None, rng: np.random.Generator
) -> Complex[np.ndarray, "h w"]:
    """The picture as some scanner would have made it: complex, with a phase that varies slowly.

    Args:
        picture: intensities, 1 = bright.
        brain: 1 inside of the brain and 0 outside, if known.
        rng: of random numbers.
    """
    if brain is not None:
        picture = picture * (brain + (1 - brain) * np.exp(rng.normal(0.0, 0.35)))
    picture = _contrast(picture, rng) * np.exp(0.2 * _smooth(rng, picture.shape, 4))
    image = np.maximum(_sharpened(picture, rng), 0.0)
    bright = max(float(np.quantile(image, 0.99)), 1e-6)
    if rng.random() < 0.6:
        image = np.abs(image + bright * rng.uniform(0.0, 0.03) * _noise(rng, image.shape))
    image = image * _phase(rng, picture.shape)
    if rng.random() < 0.3:
        image = image + bright * rng.uniform(0.0, 0.02) * _noise(rng, picture.shape)
    return image.astype(np.complex64)


def _contrast(picture: Float[np.ndarray, "h w"], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Through a curve of straight pieces: mostly rising, as between T1 weightings, sometimes any."""
    if rng.random() < 0.15:
        values = np.concatenate([[0.0], rng.uniform(0.1, 1.0, len(KNOTS) - 1)])
    else:
        values = np.concatenate([[0.0], np.cumsum(rng.gamma(6.0, 0.2, len(KNOTS) - 1))])
    return np.interp(picture, KNOTS, values / values.max())


def _sharpened(picture: Float[np.ndarray, "h w"], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Frequencies k weighed by 1 + a (|k|/k_max)²: templates are smoother than a scan of one head."""
    frequencies = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in picture.shape), indexing="ij")) / 0.5
    weights = np.maximum(1 + rng.uniform(-0.4, 1.2) * np.minimum(frequencies, 1.0) ** 2, 0.0)
    return np.fft.ifft2(np.fft.fft2(picture) * weights).real


def _phase(rng: np.random.Generator, shape: tuple[int, int]) -> Complex[np.ndarray, "h w"]:
    """Constant, linear and smooth parts."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    slope = rng.normal(0.0, 1.5, 2)
    angle = rng.uniform(0, 2 * np.pi) + slope[0] * y + slope[1] * x
    angle = angle + rng.uniform(0, 0.8) * _smooth(rng, shape, 5) + rng.uniform(0, 0.3) * _smooth(rng, shape, 9)
    return np.exp(1j * angle)


def _noise(rng: np.random.Generator, shape: tuple[int, int]) -> Complex[np.ndarray, "h w"]:
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], knots: int) -> Float[np.ndarray, "h w"]:
    return smooth(rng, shape, knots)[0]

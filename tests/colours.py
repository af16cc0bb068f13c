"""Colours as eyes see them: contrasts, and how far two are apart, with and without a colour blindness."""

import numpy as np

BLINDNESSES = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""What is seen of linear red, green and blue: Machado, Oliveira and Fernandes (2009), full severity."""

_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    """Linear red, green and blue of a colour such as "#1f4e79", (3,)."""
    return linear_of(np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255)


def linear_of(rgb: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values from 0 to 1."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG, from 1 to 21."""
    low, high = sorted(float(_XYZ[1] @ linear(colour)) + 0.05 for colour in (one, other))
    return high / low


def lab(light: np.ndarray, blindness: str = "none") -> np.ndarray:
    """CIELAB of linear light (..., 3), as somebody with this blindness sees it."""
    seen = np.clip(light @ BLINDNESSES[blindness].T, 0, 1) @ _XYZ.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def distance(one: str, other: str, blindness: str = "none") -> float:
    """ΔE of two colours (CIE 1976): 2 can just be seen, 20 is told apart at a glance."""
    return float(np.linalg.norm(lab(linear(one), blindness) - lab(linear(other), blindness)))

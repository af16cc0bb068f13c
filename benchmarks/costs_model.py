"""What a draw costs: few terms with coefficients that are not negative, fitted to measured draws.

    CPU seconds = start + write · n + calls · (call · blocks + work · drawn · (size / unit)^p)

Samples are drawn in whole blocks: `drawn` counts those that only fill one up, too. Errors are relative, so that short
draws count as much as long ones. A term that is the same multiple of another in all draws of a fit is not told from it;
what both cost together is.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

EXPONENTS = np.arange(0.0, 3.01, 0.02)
"""Of the growth with size, tried one by one."""


@dataclass(frozen=True)
class Draw:
    """One draw, as far as its cost depends on it.

    Attributes:
        n: samples that are kept.
        blocks: batches that go through the network one after the other.
        drawn: samples in all of them.
        steps: of the sampler.
        size: of a sample: letters, atoms, pixels a side; None = there is one size.
        calls: of the network, each sample's (NFE); None = not known before it is drawn.
    """

    n: int
    blocks: int
    drawn: int
    steps: int
    size: float | None = None
    calls: float | None = None


@dataclass(frozen=True)
class CostModel:
    """The fitted costs, CPU seconds.

    Attributes:
        start: of a draw, however small.
        write: of a sample.
        call: of one call of the network, however small its batch.
        work: of one call for one sample of size `unit`.
        exponent: of the growth of `work` with size; None = there is one size.
        unit: the smallest size of the fit.
        calls: (c0, c1): a sample takes c0 + c1 · steps calls.
        error: the largest relative error of the draws that were fitted.
    """

    start: float
    write: float
    call: float
    work: float
    exponent: float | None
    unit: float
    calls: tuple[float, float]
    error: float

    def seconds(self, draw: Draw) -> float:
        """CPU seconds of a draw; its calls from its steps, whatever it says of them.

        Args:
            draw: measured or not.
        """
        calls = self.calls[0] + self.calls[1] * draw.steps
        grown = 1.0 if self.exponent is None or draw.size is None else (draw.size / self.unit) ** self.exponent
        return self.start + self.write * draw.n + calls * (self.call * draw.blocks + self.work * draw.drawn * grown)


def fit(draws: Sequence[Draw], seconds: Sequence[float]) -> CostModel:
    """The cost model of measured draws, which say how many calls they took.

    Args:
        draws: at least as many as there are costs to tell apart.
        seconds: CPU seconds of each.
    """
    measured = np.array(seconds, dtype=float)
    sizes = [draw.size for draw in draws if draw.size is not None]
    unit = min(sizes, default=1.0)
    exponents: Sequence[float] = EXPONENTS.tolist() if len(set(sizes)) > 2 else [0.0]
    tried = (_with(draws, measured, unit, exponent) for exponent in exponents)
    _, exponent, (start, write, call, work) = min(tried, key=lambda one: one[0])
    model = CostModel(
        *(start, write, call, work), exponent if len(exponents) > 1 else None, unit, calls_of(draws), error=0.0
    )
    # Errors of the seconds alone: with the calls that were made.
    found = _terms(draws, unit, exponent) @ np.array([start, write, call, work])
    return CostModel(**{**vars(model), "error": float(np.abs(found / measured - 1).max())})


def calls_of(draws: Sequence[Draw]) -> tuple[float, float]:
    """(c0, c1): a sample takes c0 + c1 · steps calls, by least squares.

    Args:
        draws: which say how many they took.
    """
    steps, calls = (np.array([getattr(draw, name) for draw in draws], dtype=float) for name in ("steps", "calls"))
    if len(set(steps.tolist())) < 2:
        return 0.0, float((calls / steps).mean())
    c0, c1 = nonnegative(np.stack([np.ones_like(steps), steps], 1) / calls[:, None], np.ones_like(calls))
    return float(c0), float(c1)


def nonnegative(matrix: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The x ≥ 0 with the least |matrix · x − wanted|, by trying which entries are 0; the fewest terms where it is even.

    Args:
        matrix: (draws, terms), of few terms.
        wanted: (draws,).
    """
    best, found = np.inf, np.zeros(matrix.shape[1])
    for count in range(1, matrix.shape[1] + 1):
        for chosen in itertools.combinations(range(matrix.shape[1]), count):
            columns = matrix[:, list(chosen)]
            scale = np.linalg.norm(columns, axis=0)
            if not scale.all():
                continue
            x = np.linalg.lstsq(columns / scale, wanted, rcond=1e-9)[0] / scale
            left = float(np.linalg.norm(columns @ x - wanted))
            if (x >= 0).all() and left < best * (1 - 1e-6) - 1e-12:
                best, found = left, np.zeros(matrix.shape[1])
                found[list(chosen)] = x
    return found


def _with(
    draws: Sequence[Draw], seconds: np.ndarray, unit: float, exponent: float
) -> tuple[float, float, tuple[float, float, float, float]]:
    """What is left of a fit with an exponent, the exponent, the coefficients."""
    matrix = _terms(draws, unit, exponent) / seconds[:, None]
    found = nonnegative(matrix, np.ones(len(draws)))
    start, write, call, work = map(float, found)
    return float(np.linalg.norm(matrix @ found - 1)), exponent, (start, write, call, work)


_TERMS: Sequence[Callable[[Draw, float], float]] = (
    lambda draw, grown: 1.0,
    lambda draw, grown: draw.n,
    lambda draw, grown: (draw.calls or 0.0) * draw.blocks,
    lambda draw, grown: (draw.calls or 0.0) * draw.drawn * grown,
)


def _terms(draws: Sequence[Draw], unit: float, exponent: float) -> np.ndarray:
    """What the four costs are multiplied with, (draws, 4)."""
    grown = [1.0 if draw.size is None else (draw.size / unit) ** exponent for draw in draws]
    return np.array([[term(draw, by) for term in _TERMS] for draw, by in zip(draws, grown, strict=True)])

"""Whether samples of a slice agree with its k-space: with what they were drawn from, and with what was held out.

With n complex numbers y measured with noise of variance σ² a part, and x a sample of the posterior,

    consistency   Σ |y − A x|² / (2 σ² n)

is 1 on average, exactly, whatever the prior, if the prior is right: (x, y) has the same law as (truth, y). Of lines
that were held out, with M samples, their mean x̄ and the unbiased variance v̂ of A_h x over them,

    held out      mean over lines of  Σ |y_h − A_h x̄|² / Σ ((1 + 1/M) v̂ + 2 σ²)

is 1, too: given all that was used, truth and samples are M + 1 independent draws of one law, so that the residual of
the mean has the variance (1 + 1/M) v beside the noise. Sums over a line, not ratios number by number, keep the estimate
v̂ in the denominator from biasing it: it would by (M − 1)/(M − 2). Neither needs a truth. Above 1 the samples are too
sure or the prior does not know such images; below 1 they are too unsure, or σ is too large.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..sense import Sense

CONSISTENT, PREDICTED = (0.8, 1.25), (0.6, 1.6)
"""Between which the two are believed."""
DISTRUST = "the prior does not know such images: do not trust the picture"


class Agreement(NamedTuple):
    """How well the samples of one slice agree with its k-space.

    Attributes:
        consistency: of each sample, with what it was drawn from; 1 is expected.
        held_out: of all of them, with each line that was held out, or with all points; 1 is expected. Empty, where
            nothing was held out, or there is one sample.
    """

    consistency: Float[Tensor, " members"]
    held_out: Float[Tensor, " lines"]


def agreement(one: Any, x: Float[Tensor, "members 2 h w"]) -> Agreement:
    """The two of the samples of a slice.

    Args:
        one: the slice, as `asked.prepared` has it.
        x: states of the model.
    """
    held = predicted(one, x) if bool(one.held.any()) and len(x) > 1 else torch.zeros(0)
    return Agreement(consistency(one, x), held)


def consistency(one: Any, x: Float[Tensor, "members 2 h w"]) -> Float[Tensor, " members"]:
    """Of each sample.

    Args:
        one: the slice.
        x: states of the model.
    """
    y, seen = _seen(one, one.mask, x)
    return (y - seen).abs().square().flatten(1).mean(1) / 2


def predicted(one: Any, x: Float[Tensor, "members 2 h w"]) -> Float[Tensor, " lines"]:
    """Of each line that was held out, or of all points together.

    Args:
        one: the slice.
        x: two or more states of the model.
    """
    y, seen = _seen(one, one.held, x)
    members = len(seen)
    missed = (y - seen.mean(0)).abs().square()
    spread = (seen - seen.mean(0)).abs().square().sum(0) / (members - 1)
    expected = (1 + 1 / members) * spread + 2
    along = {None: (0, 1), 0: (0, 2), 1: (0, 1)}[Sense(one.maps, one.held).axis]  # all but lines
    return (missed.sum(along) / expected.sum(along)).reshape(-1)


def _seen(one: Any, mask: Bool[Tensor, "h w"], x: Tensor) -> tuple[Tensor, Tensor]:
    """What was measured there, and what the coils would see of the samples, both in units of the noise."""
    operator = Sense((one.maps / one.std).to(one.maps.dtype), mask)
    y = operator.measured((one.kspace / one.std).to(one.kspace.dtype))
    return y, operator(x.to(one.maps.real.dtype))


@dataclass(frozen=True)
class Verdict:
    """Of all slices.

    Attributes:
        consistency: mean over samples and slices.
        held_out: mean over lines and slices; None where nothing was held out.
        error: its standard error, by slices where there are several, else by lines; None of one line.
    """

    consistency: float
    held_out: float | None
    error: float | None

    @classmethod
    def of(cls, slices: list[Agreement]) -> "Verdict":
        """Of these slices, at least one."""
        held = [one.held_out for one in slices if len(one.held_out)]
        each = torch.stack([one.mean() for one in held]) if len(held) > 1 else torch.cat([*held, torch.zeros(0)])
        mean = float(each.mean()) if len(each) else None
        error = float(each.std() / len(each) ** 0.5) if len(each) > 1 else None
        return cls(float(torch.cat([one.consistency for one in slices]).mean()), mean, error)

    @property
    def distrust(self) -> str | None:
        """What is wrong, in words; None if nothing is."""
        both = (("data", self.consistency, CONSISTENT), ("lines held out", self.held_out, PREDICTED))
        wrong = [(of, found) for of, found, (least, most) in both if found is not None and not least <= found <= most]
        if not wrong:
            return None
        found, sure = [f"χ² of the {of} is {found:.3g}" for of, found in wrong], any(found > 1 for _, found in wrong)
        why = DISTRUST if sure else "samples are less sure than they need be, or the noise is weaker than is said"
        return f"{' and '.join(found)}, expected 1: {why}"

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2g}"
        held = "nothing was held out" if self.held_out is None else f"lines held out {self.held_out:.3g}{error}"
        return f"χ²: data {self.consistency:.3g}, {held} (expected 1)"

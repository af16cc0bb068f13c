"""Whether the steps were finite, which is asked of the device only now and then, since an answer makes it wait.

A step that is not finite changes nothing, and neither does any step after it: `harm` becomes 1 on the device, the
optimiser and the average heed it, and it stays so until somebody looks. An error that comes late is thus as good as one
at once: weights, moments and averages are those of the last good step.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError
from .feeding import Batch


@dataclass(frozen=True)
class _Unseen:
    """A step nobody has looked at: its records' losses (batch,), their mean over all workers, the gradient's norm."""

    step: int
    batch: Batch
    each: Tensor
    loss: Tensor
    norm: Tensor


class Watch:
    """`note` every step, `look` when an answer is wanted.

    Attributes:
        harm: 1 from the first step on that was not finite, else 0; float32, on the device.
        known: loss and norm of the gradient of the last step that was looked at.
    """

    def __init__(self, device: torch.device) -> None:
        self.harm = torch.zeros((), device=device)
        self.known: dict[str, float] = {}
        self._unseen: list[_Unseen] = []

    def note(self, step: int, batch: Batch, each: Tensor, loss: Tensor, norm: Tensor) -> None:
        """Before the update of a step is made: from here on it is not, if a number is not finite.

        Args:
            step: its number.
            batch: what was learned from.
            each: loss of each record, (batch,).
            loss: their mean over all workers.
            norm: of the gradient.
        """
        self.harm.logical_or_(~(loss.isfinite() & norm.isfinite()))
        self._unseen.append(_Unseen(step, batch, each, loss, norm))

    def look(self) -> dict[str, Any]:
        """Loss and norm of the gradient of the last step; TrainingError, which names the first that was not finite."""
        if self._unseen:
            loss, norm, harm = torch.stack([self._unseen[-1].loss, self._unseen[-1].norm, self.harm]).tolist()
            if harm:
                raise self._error()
            self.known = {"loss": loss, "gradient_norm": norm}
            self._unseen.clear()
        return self.known

    @property
    def first_bad(self) -> int:
        """The first step that was not finite, or the last one noted."""
        return self._bad().step

    def _bad(self) -> _Unseen:
        return next((one for one in self._unseen if not (one.loss.isfinite() & one.norm.isfinite())), self._unseen[-1])

    def _error(self) -> TrainingError:
        bad = self._bad()
        wrong = (~bad.each.isfinite()).nonzero().flatten().tolist()
        named = ", ".join(f"{bad.batch.records[i]} (t = {bad.batch.t[i]:.4f})" for i in wrong[:5])
        what = f"the gradient of batch {bad.step} is not finite"
        if wrong:
            of = f"{len(wrong)} of {len(bad.each)} records in batch {bad.step}"
            what = f"the loss of {of} is not finite: records {named}"
        elif not bad.loss.isfinite():
            what = f"a loss of batch {bad.step} is not finite, in another worker's part"
        return TrainingError(f"step {bad.step}: {what}; nothing was updated, the last checkpoint is intact")

"""Self-conditioning (Chen et al. 2023): a network that recalls sees, beside x_t, what it believed at the step before.

In training, half of the batches are shown the belief of a first call without gradient and the others nothing, as at the
first step of a draw; in sampling, the last belief is at hand and costs no call.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..beliefs import Belief
from ..keys import Keys
from ..spaces import Space
from ..states import map_state

LAST = "last"
"""The name of the condition that holds what was believed at the step before."""
RECALLED = 0.5
"""How many batches of a training see it."""


def recalled(keys: Keys) -> bool:
    """Whether the network of a batch sees what it believes, as its first key has it."""
    return bool(keys[:1].fold("recall").uniform() < RECALLED)


def recalling(space: Space, condition: Mapping[str, Tensor], belief: Belief) -> dict[str, Tensor]:
    """A condition with the mean of the last belief, as the network sees clean data: LAST, or "LAST part" a part.

    Args:
        space: the kind of data and its noise.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        belief: p(x₀ | x_t) of the step before.
    """
    mean = space.inputs(map_state(torch.Tensor.detach, belief.mean), 0.0)
    parts = {f"{LAST} {name}": part for name, part in mean.items()} if isinstance(mean, Mapping) else {LAST: mean}
    return {**condition, **parts}

"""How many different texts there are among millions, in 16 bytes each."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

_BYTES = 16


class Distinct:
    """The different texts among those that were added: their number is len(distinct).

    Texts are told apart by 128-bit digests, of which even among 10⁹ texts two agree with a probability of 10⁻²¹.
    """

    def __init__(self) -> None:
        self._digests = np.empty(0, f"S{_BYTES}")

    def add(self, texts: Iterable[str]) -> None:
        """Takes in some texts, which need not be kept; many at a time, as the digests are sorted anew."""
        new = [blake2b(text.encode(), digest_size=_BYTES).digest() for text in set(texts)]
        self._digests = np.union1d(self._digests, np.array(new, self._digests.dtype))

    def __len__(self) -> int:
        return len(self._digests)

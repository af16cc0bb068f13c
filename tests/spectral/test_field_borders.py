"""One vocabulary for what lies beyond the ends of a field: NumPy's words, for any width, with the adjoint."""

from typing import Any

import numpy as np
import pytest

from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.spectral.borders import BORDERS, borders_of, extended, folded

NUMPY = {"zero": "constant", "periodic": "wrap", "reflect": "reflect", "symmetric": "symmetric"}
WIDTHS = [(0, 0), (2, 0), (1, 3), (9, 11)]  # the last goes round or is mirrored several times


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("border", BORDERS)
def test_a_border_is_numpy_s_of_its_name(border: Any, width: tuple[int, int], size: int) -> None:
    x = Keys.of(0, 2).normal(3, size)
    theirs = {word: np.pad(x.numpy(), [(0, 0), (0, 0), width], mode) for word, mode in NUMPY.items()}  # pyright: ignore[reportCallIssue, reportArgumentType]
    found = extended(x, 2, *width, border).numpy()
    np.testing.assert_array_equal(found, theirs[border])
    if width == (9, 11) and size > 1:  # no two words mean the same
        assert [word for word, other in theirs.items() if np.array_equal(found, other)] == [border]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("border", BORDERS)
def test_folding_is_the_adjoint(border: Any, width: tuple[int, int]) -> None:
    x, y = Keys.of(1, 2).normal(4, 3).double(), Keys.of(2, 2).normal(4 + sum(width), 3).double()
    forward = (extended(x, 1, *width, border) * y).sum()
    back = {word: float((x * folded(y, 1, *width, word)).sum()) for word in BORDERS}
    assert back[border] == pytest.approx(float(forward), rel=1e-12)
    if width == (9, 11):
        assert [word for word in BORDERS if back[word] == pytest.approx(float(forward), rel=1e-6)] == [border]


def test_words_are_one_for_all_or_one_an_axis() -> None:
    assert borders_of("Pad", "zero", 2) == ("zero", "zero")
    assert borders_of("Pad", ["reflect", "periodic"], 2) == ("reflect", "periodic")
    with pytest.raises(InputError, match="Pad: borders is 'mirror', expected one of zero, periodic, reflect, symm"):
        borders_of("Pad", "mirror", 2)
    with pytest.raises(InputError, match="Pad: borders has 3 entries"):
        borders_of("Pad", ("zero",) * 3, 2)

"""Pictures of molecules show what is in front, from a view that the molecule decides."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.build import molecule

from ornstein.domains.molecules.chemistry.drawing import bonds, rendered, spinning, strip, trajectory, view_of, wall
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.report import solids
from ornstein.report.solids import Solids, pixels

NAMES = ["C6H6", "CH3CH2OH", "CH3CONH2", "H2O", "CH4"]


def _named(name: str) -> Molecule:
    atoms = molecule(name)
    return Molecule(atoms.numbers, atoms.positions, name)


def _differing(one: np.ndarray, other: np.ndarray) -> float:
    """The share of pixels that a reader would call different."""
    return float((np.abs(one.astype(int) - other.astype(int)).max(-1) > 40).mean())


@pytest.mark.parametrize("name", NAMES)
def test_where_a_molecule_lies_does_not_matter(name: str) -> None:
    one = _named(name)
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    moved = replace(one, positions=one.positions @ (q * np.linalg.det(q)) + [3.0, -8.0, 1.0])
    picture = rendered(one)
    assert picture.shape == (160, 160, 3)
    assert (picture.min(-1) < 200).mean() > 0.02
    assert _differing(picture, rendered(moved)) < 1e-3


def test_mirror_images_differ() -> None:
    one = Molecule(np.array([6, 1, 9, 8, 7]), _named("CH4").positions)
    assert _differing(rendered(one), rendered(replace(one, positions=one.positions * [1, 1, -1]))) > 0.01


def test_a_whole_turn_comes_back() -> None:
    one = _named("CH3CONH2")
    assert _differing(rendered(one), rendered(one, turn=2 * np.pi)) < 1e-3
    assert _differing(rendered(one), rendered(one, turn=np.pi / 2)) > 0.02
    assert len(spinning([one, one], 2, frames=4, size=60)) == 4


def _centre_of_two_balls(red_height: float) -> np.ndarray:
    """The middle pixels of a red ball at this height and a blue one at height 0, which is drawn last."""
    places, radius = np.array([[0.0, 0, red_height], [0, 0, 0]]), np.array([1.0, 1.4])
    colour = np.array([[220.0, 30, 30], [30, 30, 220]])
    return pixels(Solids(places, places, radius, colour, np.zeros(2, dtype=bool)), 40, 10.0)[18:22, 18:22].mean((0, 1))


def _shows_what_is_in_front() -> bool:
    red, blue = _centre_of_two_balls(3.0), _centre_of_two_balls(-3.0)
    return bool(red[0] > red[2] and blue[2] > blue[0])


def test_the_nearer_hides_the_farther(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _shows_what_is_in_front()
    surface = solids._surface
    monkeypatch.setattr(solids, "_surface", lambda *given: (-surface(*given)[0], surface(*given)[1]))
    monkeypatch.setattr(solids, "_in_pixels", _reversed(solids._in_pixels))
    assert not _shows_what_is_in_front(), "a twin with reversed depth must be caught"


def _reversed(function: Callable[..., Any]) -> Callable[..., Any]:
    def twin(*given: Any) -> Any:
        start, *others = function(*given)
        return start * np.array([1, 1, -1], dtype=np.float32), *others

    return twin


def test_a_stick_is_as_long_and_as_thick_as_asked() -> None:
    start, end = np.array([[-1.5, 0, 0.7]]), np.array([[1.5, 0, -0.7]])
    stick = Solids(start, end, np.array([0.2]), np.array([[10.0, 10, 10]]), np.zeros(1, dtype=bool))
    rows, columns = np.nonzero(pixels(stick, 100, 20.0).max(-1) < 200)
    assert abs(np.ptp(columns) - 60) <= 5  # seen along z, which the slope does not change, and its open ends
    assert abs(np.ptp(rows) - 8) <= 2


def test_what_is_hidden_is_pale_and_unbound() -> None:
    one = _named("H2O")
    hidden = replace(one, numbers=np.zeros_like(one.numbers))
    assert bonds(one) == [(0, 1), (0, 2)]
    assert bonds(hidden) == []
    picture = rendered(hidden)
    assert picture.min() > 80
    assert (picture < 250).any()


def test_dashes_join_what_is_not_bound() -> None:
    one = Molecule(np.array([8, 8]), np.array([[0.0, 0, 0], [4, 0, 0]]))
    middle = np.s_[72:88, 60:100]
    assert (rendered(one)[middle] == 255).all()
    dashes = rendered(one, dashed=[(0, 1)])[middle]
    assert (dashes.min((0, 2)) < 200).any()
    assert (dashes.min((0, 2)) > 240).any()


def test_a_film_keeps_its_view() -> None:
    last = _named("CH3CH2OH")
    frames = [[replace(last, positions=s * last.positions + [0, 0, 1 - s])] for s in (1.6, 1.3, 1.0)]
    pictures = trajectory(frames, 1, size=80)
    assert len(pictures) == 3
    assert strip(frames, 2, size=80).shape == (80, 162, 3)
    np.testing.assert_array_equal(strip(frames, 2, size=80)[:, 82:], pictures[-1])
    assert all((picture[[0, -1]] == 255).all() and (picture[:, [0, -1]] == 255).all() for picture in pictures)


def test_a_wall_has_one_scale() -> None:
    small, large = _named("H2O"), _named("C6H6")
    both = wall([small, large, small], 2, size=100)
    assert both.shape == (202, 202, 3)
    np.testing.assert_array_equal(both[:100, :100], both[102:, :100])
    assert (both[:100, :100] < 250).mean() < (wall([small], 1, size=100) < 250).mean()


def test_one_atom_has_a_view() -> None:
    one = Molecule(np.array([6]), np.array([[5.0, 5, 5]]))
    assert np.isfinite(view_of(one).axes).all()
    assert (rendered(one) < 128).any()

"""Grids whose borders are where the conditions hold: geometry, whole fields, sensors, and what users say of sides."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein.domains.poisson.equations import Boundary, Grid, Side
from ornstein.errors import InputError
from ornstein.testing import check_operator

PAIRS = [
    ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("dirichlet", "neumann"), ("neumann", "dirichlet"),
    ("periodic", "periodic"),
]  # fmt: skip


def boundary(*pairs: tuple[str, str]) -> Boundary:
    return Boundary(tuple((Side(low), Side(high)) for low, high in pairs))


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_unknowns_lie_a_step_from_nodes_and_half_a_step_from_faces(kinds: tuple[str, str]) -> None:
    grid = Grid((7,), boundary(kinds), lengths=(3.0,), origin=(-1.0,))
    (at,), (h,) = grid.coordinates, grid.spacing
    assert torch.allclose(at.diff(), torch.full((6,), h, dtype=torch.float64), rtol=0, atol=1e-14)
    distance = {"dirichlet": h, "neumann": h / 2}
    if kinds[0] == "periodic":
        assert at[0].item() == -1.0
        assert abs(at[-1].item() + h - 2.0) < 1e-14
    else:
        assert abs(at[0].item() + 1.0 - distance[kinds[0]]) < 1e-14
        assert abs(2.0 - at[-1].item() - distance[kinds[1]]) < 1e-14
    assert grid.cell == h


def test_whole_fields_hold_what_the_boundary_says_to_the_last_bit() -> None:
    values = torch.linspace(-1, 2, 5).double() / 3
    sides = {"left": Side("dirichlet", values), "right": Side("dirichlet", 0.1), "bottom": Side("neumann", 2.0)}
    grid = Grid((5, 4), Boundary.of({**sides, "top": Side("dirichlet", -0.3)}, 2))
    for dtype in (torch.float32, torch.float64):
        phi = torch.randn(3, 2, 5, 4, dtype=dtype)
        whole = grid.whole(phi)
        assert whole.shape == (3, 2, 6, 6) == (3, 2, *grid.whole_shape)
        assert torch.equal(whole[..., :5, 0], values.to(dtype).expand(3, 2, 5))
        assert torch.equal(whole[..., :5, -1], torch.full((3, 2, 5), 0.1, dtype=dtype))
        assert torch.equal(whole[..., -1, 1:-1], torch.full((3, 2, 4), -0.3, dtype=dtype))
        assert torch.equal(whole[..., :5, 1:-1], phi)
        assert torch.equal(grid.inner(whole), phi)
        assert torch.equal(whole.masked_fill(~grid.fixed, 0.0), grid.rim.to(dtype).expand_as(whole))
    assert grid.axes == ("y", "x")
    # where two sides meet: the mean of what they continue to
    assert whole[0, 0, -1, -1].item() == pytest.approx((0.1 - 0.3) / 2)
    assert whole[0, 0, -1, 0].item() == pytest.approx((2 * values[-1] - values[-2] - 0.3).item() / 2)


def test_edges_of_a_box_continue_a_linear_field() -> None:
    """Of a linear field the six faces know all edges and corners."""

    def field(*at: Tensor) -> Tensor:
        return 1 + at[0] - 2 * at[1] + 3 * at[2]

    bare = Grid((3, 4, 2), Boundary.of("dirichlet", 3), lengths=(1.0, 2.0, 0.5))
    true = field(*torch.meshgrid(*bare.whole_coordinates, indexing="ij"))
    inner = (slice(1, -1),) * 3
    sides = []
    for axis in range(3):
        ends = [true[(*inner[:axis], end, *inner[axis + 1 :])] for end in (0, -1)]
        sides.append((Side("dirichlet", ends[0]), Side("dirichlet", ends[1])))
    grid = Grid((3, 4, 2), Boundary(tuple(sides)), lengths=(1.0, 2.0, 0.5))
    assert torch.allclose(grid.whole(true[inner]), true, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kinds", list(product(PAIRS[:4], PAIRS)), ids=str)
def test_sensors_read_linear_fields_exactly_up_to_the_border(kinds: tuple[tuple[str, str], ...]) -> None:
    """Along a periodic axis: constants, which alone are linear there."""
    bare = Grid((3, 4), boundary(*kinds), lengths=(2.0, 3.0), origin=(-0.5, 1.0))
    slope = 0.0 if "periodic" in kinds[1] else -0.7
    y, x = torch.meshgrid(*bare.whole_coordinates, indexing="ij")
    field = 1.3 * y + slope * x
    points = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([3.0, 2.0])
    corners = torch.tensor([[0.0, 0.0], [3.0, 2.0], [0.0, 2.0], [1.1, 0.0]])
    points = torch.cat([points, corners]) + torch.tensor([1, -0.5])
    read = bare.interpolation(points)
    assert torch.allclose(read(field[None])[0], 1.3 * points[:, 1] + slope * points[:, 0], rtol=0, atol=1e-13)
    assert check_operator(read @ bare.padding, (1, 3, 4)) == 12


def test_periodic_sensors_go_round() -> None:
    grid = Grid((4,), Boundary.of("periodic", 1), lengths=(2.0,))
    assert grid.interpolation([[1.75], [2.0]])(torch.tensor([[1.0, 2.0, 3.0, 5.0]]))[0].tolist() == [3.0, 1.0]


def test_a_sensor_outside_is_named() -> None:
    grid = Grid((4, 4), Boundary.of("periodic", 2), lengths=(1.0, 2.0), origin=(0.0, 1.0))
    expected = r"point 1 is at \(0.5, 0.25\), outside of the domain \[1, 3\] × \[0, 1\]; 2 of 3 points are outside"
    with pytest.raises(InputError, match=expected):
        grid.interpolation([[2.0, 0.5], [0.5, 0.25], [1.0, 1.01]])
    for points, message in [
        ([[0.5]], r"shape \(1, 1\), expected \(points, 2\)"),
        (np.zeros((0, 2)), "expected"),
        ([[float("nan"), 0.0]], "is nan"),
    ]:
        with pytest.raises(InputError, match=message):
            grid.interpolation(points)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((), {}, "1 to 3 whole numbers"),
        ((4, 0), {}, "1 to 3 whole numbers"),
        ((4, 2, 2, 2), {}, "1 to 3 whole numbers"),
        ((4, 4), {"lengths": (1.0,)}, "lengths are"),
        ((4, 4), {"lengths": (1.0, 0.0)}, "2 numbers from 1e-100"),
        ((4, 4), {"lengths": (1.0, -2.0)}, "2 numbers from 1e-100"),
        ((4, 4), {"lengths": (1.0, float("nan"))}, "2 numbers from 1e-100"),
        ((4, 4), {"origin": (0.0, float("inf"))}, "origin are"),
        ((4, 4), {"boundary": Boundary.of("dirichlet", 1)}, "boundary has 1 axes"),
        ((4, 1), {"boundary": Boundary.of("periodic", 2)}, "axis 1 is periodic and has 1 unknown"),
        (
            (4, 3),
            {"boundary": Boundary.of(Side("dirichlet", [1.0, 2.0]), 2)},
            r"bottom side has values of shape \(2,\)",
        ),
        ((4,), {"boundary": Boundary.of(Side("dirichlet", [1.0, 2.0]), 1)}, "expected one number"),
    ],
    ids=str,
)
def test_a_grid_that_is_none_is_named(shape: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Grid(**{"shape": shape, "boundary": Boundary.of("dirichlet", max(1, min(len(shape), 3))), **options})


def test_sides_are_said_in_words(tmp_path: Path) -> None:
    np.save(tmp_path / "flux.npy", np.array([1, 2, 3]))
    text = f"left=dirichlet:1.5, right=neumann:{tmp_path / 'flux.npy'},bottom=periodic,top=periodic"
    found = Boundary.parse(text, 2)
    assert found.kinds == (("periodic", "periodic"), ("dirichlet", "neumann"))
    assert found.sides[1][0].value.item() == 1.5
    assert found.sides[1][1].value.tolist() == [1, 2, 3]
    assert Boundary.parse("neumann:-2", 3).kinds == (("neumann", "neumann"),) * 3
    assert Boundary.parse("left=neumann,right=dirichlet", 1).kinds == (("neumann", "dirichlet"),)


@pytest.mark.parametrize(
    ("text", "ndim", "message"),
    [
        ("dirichlett", 2, "did you mean 'dirichlet'"),
        ("", 2, "no kind of side"),
        ("dirichlet:abc", 2, "'abc' is no value"),
        ("dirichlet:nan", 2, "'nan' is no value"),
        ("neumann:inf", 2, "'inf' is no value"),
        ("periodic:1", 2, "takes none"),
        ("dirichlet:missing.npy", 2, "missing.npy"),
        ("left=dirichlet", 1, "side right nothing is said"),
        ("left=dirichlet,left=neumann", 1, "side left is said twice"),
        ("left=dirichlet,neumann", 1, "'neumann' names no side"),
        ("left=dirichlet,up=neumann", 1, "no side 'up'"),
        ("left=dirichlet,right=neumann,top=neumann,bottom=neumann", 1, "no side 't"),
        ("left=periodic,right=neumann", 1, "left side is periodic and the right side neumann"),
        ("bottom=dirichlet,top=periodic,left=neumann,right=neumann", 2, "bottom side is dirichlet"),
        ("dirichlet", 4, "expected 1 to 3"),
    ],
)
def test_wrong_words_for_sides_are_named(text: str, ndim: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Boundary.parse(text, ndim)


def test_files_of_side_values_are_numbers(tmp_path: Path) -> None:
    for name, array in [("complex", np.array([1j])), ("text", np.array(["a"])), ("nan", np.array([np.nan]))]:
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(InputError, match=r"real numbers|is nan"):
            Boundary.parse(f"neumann:{tmp_path / name}.npy", 1)
    (tmp_path / "no.npy").write_text("no")
    with pytest.raises(InputError, match=r"no\.npy"):
        Boundary.parse(f"neumann:{tmp_path / 'no.npy'}", 1)

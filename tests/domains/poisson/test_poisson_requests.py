"""What is said in flags: the problem, what is known, and every way in which it cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ornstein as on
from ornstein.domains.poisson.asked.flags import PoissonRequest
from ornstein.domains.poisson.asked.problems import problem_of as made_again
from ornstein.domains.poisson.asked.requests import problem_of, request
from ornstein.domains.poisson.equations import Darcy, Elliptic, Heat
from ornstein.errors import InputError
from ornstein.tasks.task import Request

SHAPE = (4, 5)
METADATA: dict[str, Any] = {"learns": "sources", "shape": [1, *SHAPE], "mean": 0.0, "std": 1.0}
NEUMANN = "left=neumann:1,right=neumann:0,bottom=periodic,top=periodic"  # a flux of 1 through a side 2 long


def asked(folder: Path, **said: Any) -> Request:
    """What a request leads to; arrays and texts become files."""
    for name, value in said.items():
        if isinstance(value, np.ndarray):
            np.save(folder / f"{name}.npy", value)
            said[name] = folder / f"{name}.npy"
        elif isinstance(value, str) and "\n" in value:
            (folder / f"{name}.csv").write_text(value)
            said[name] = folder / f"{name}.csv"
    return request(PoissonRequest(**said), range(2), METADATA)


@pytest.mark.parametrize(
    ("said", "kind", "values"),
    [
        ({}, Elliptic, {"a": 1.0, "c": 0.0}),
        ({"equation": "screened", "screening": 2.0, "coefficient": 3.0}, Elliptic, {"a": 3.0, "c": -4.0}),
        ({"equation": "helmholtz", "wavenumber": 1.5}, Elliptic, {"c": 2.25}),
        ({"equation": "heat", "time": 0.1, "coefficient": 0.2}, Heat, {"diffusivity": 0.2, "time": 0.1}),
        ({"equation": "darcy", "source": 1.0}, Darcy, {}),
    ],
)
def test_flags_are_the_equation_that_they_name(said: dict[str, Any], kind: type, values: dict[str, float]) -> None:
    problem = problem_of(PoissonRequest(lengths=(2.0, 1.0), origin=(-1.0, 0.0), mean=0.5, scale=2.0, **said), SHAPE)
    assert isinstance(problem.equation, kind)
    assert {name: getattr(problem.equation, name) for name in values} == values
    assert problem.equation.grid.lengths == (1.0, 2.0)  # x first becomes the order of an array
    assert problem.equation.grid.origin == (0.0, -1.0)
    assert (problem.mean, problem.scale) == (0.5, 2.0)


def test_a_problem_is_made_again_from_words_and_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "left.npy", np.linspace(0, 1, 4))
    a = np.random.default_rng(0).uniform(1, 2, SHAPE)
    sides = f"left=dirichlet:{tmp_path}/left.npy,right=neumann:0.5,bottom=dirichlet:1,top=dirichlet:0"
    for said in (
        {"coefficient": a, "boundary": sides, "equation": "helmholtz", "wavenumber": 1.0},
        {"equation": "heat", "time": 0.1, "coefficient": 0.2, "boundary": sides, "mean": 0.5, "scale": 2.0},
        {"equation": "darcy", "source": a, "boundary": sides, "lengths": (2.0, 1.0)},
    ):
        found = asked(tmp_path, **said)
        words = found.record["problem"]
        again = made_again(words, {name: value[1] for name, value in found.beside.items()})
        whole = problem_of(PoissonRequest(**{**said, **_paths(tmp_path, said)}), SHAPE)
        x = torch.randn(2, 1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        assert again.solution(x).equal(whole.solution(x))
    with pytest.raises(InputError, match="has no array 'boundary_left'"):
        made_again(words, {})
    with pytest.raises(InputError, match="array 'given_source' is another one"):
        made_again(words, {name: value[0] + 1e-9 * (name == "given_source") for name, value in found.beside.items()})
    for name, wrong in (("equation", "wave"), ("lengths", [1.0]), ("shape", [4]), ("mean", "0")):
        with pytest.raises(InputError):
            made_again({**words, name: wrong}, {name: value[0] for name, value in found.beside.items()})


def _paths(folder: Path, said: dict[str, Any]) -> dict[str, Path]:
    return {name: folder / f"{name}.npy" for name, value in said.items() if isinstance(value, np.ndarray)}


def test_what_is_known_becomes_guides_and_notes(tmp_path: Path) -> None:
    sensors = "x,y,value,std\n# the first\n0.5,0.5,1,0.1\n0,0.5,1,0.1\n"
    found = asked(tmp_path, solution_sensors=sensors, source_sensors=sensors, bounds=(-3.0, float("inf")), total=0.5)
    assert [type(guide) for guide in found.guides] == [on.Measurement, on.Measurement, on.Constraint, on.Bounded]
    assert any("1 comment left out" in note for note in found.notes)
    assert any("1 of 2 sensors of the solution lie on Dirichlet sides" in note for note in found.notes)
    assert tuple(found.beside["solution_sensors"].shape) == (2, 2, 4)  # samples, sensors, columns
    assert not asked(tmp_path).guides


def test_a_whole_source_is_fixed_and_a_direct_solve_recommended(tmp_path: Path) -> None:
    found = asked(tmp_path, source=np.ones(SHAPE))
    (fixed,) = found.guides
    assert isinstance(fixed, on.Fixed)
    assert fixed.where.all()
    assert any("a direct solve of the equation is the right tool" in note for note in found.notes)
    mask = np.eye(4, 5, dtype=bool)
    masked = asked(tmp_path, source=np.where(mask, 1.0, np.nan), mask=mask, source_std=0.1)
    assert isinstance(masked.guides[0], on.Measurement)
    assert not masked.notes


def test_the_total_is_what_flows_through_the_boundary(tmp_path: Path) -> None:
    found = asked(tmp_path, boundary=NEUMANN, lengths=(1.0, 2.0))
    (held,) = found.guides
    assert isinstance(held, on.Constraint)
    x = torch.randn(3, 1, *SHAPE, dtype=torch.float64)
    problem = problem_of(PoissonRequest(boundary=NEUMANN, lengths=(1.0, 2.0)), SHAPE)
    drawn = problem.unknown(held.held(x, on.Euclidean((1, *SHAPE))))
    problem.equation.require_compatible(drawn)
    torch.testing.assert_close(drawn.sum((1, 2, 3)) * problem.equation.grid.cell, torch.full((3,), 2.0).double())
    assert "held at 2, the flux through the boundary" in found.notes[0]
    assert not asked(tmp_path, boundary=NEUMANN, equation="screened", screening=1.0).guides
    assert len(asked(tmp_path, boundary=NEUMANN, lengths=(1.0, 2.0), source=np.ones(SHAPE)).guides) == 1


def test_bounds_of_darcy_are_those_of_a(tmp_path: Path) -> None:
    found = asked(tmp_path, equation="darcy", source=1.0, bounds=(0.5, 2.0), mean=0.25, scale=0.5)
    (walls,) = found.guides
    assert isinstance(walls, on.Bounded)
    low, high = ((torch.tensor(a).double().log() - 0.25) / 0.5 for a in (0.5, 2.0))
    torch.testing.assert_close(walls.low, low.expand(1, *SHAPE))
    torch.testing.assert_close(walls.high, high.expand(1, *SHAPE))


def test_a_true_unknown_has_a_true_solution(tmp_path: Path) -> None:
    rho = np.random.default_rng(0).normal(size=SHAPE)
    np.savez(tmp_path / "t.npz", source=rho)
    found = asked(tmp_path, truth=tmp_path / "t.npz", boundary="dirichlet:2").beside
    problem = problem_of(PoissonRequest(boundary="dirichlet:2"), SHAPE)
    assert found["true_source"][0].numpy() == pytest.approx(rho)
    assert tuple(found["true_solution"].shape) == (2, 6, 7)
    assert found["true_solution"][0, 1:-1, 1:-1].equal(problem.equation.solution(torch.from_numpy(rho)))
    assert (found["true_solution"][:, 0] == 2).all()
    np.savez(tmp_path / "t.npz", solution=np.ones(SHAPE))
    assert list(asked(tmp_path, truth=tmp_path / "t.npz").beside) == ["true_solution"]


def sensors(line: str) -> str:
    return f"x,y,value,std\n0.5,0.5,1,1\n{line}\n"


WRONG: list[tuple[Callable[[Path], Any], str]] = [
    (lambda f: {"equation": "screened"}, "--equation screened needs --screening"),
    (lambda f: {"equation": "helmholtz"}, "needs --wavenumber"),
    (lambda f: {"equation": "heat"}, "needs --time"),
    (lambda f: {"equation": "darcy"}, "needs --source"),
    (lambda f: {"time": 1.0}, "--time is for --equation heat, found poisson"),
    (lambda f: {"wavenumber": 1.0, "equation": "heat", "time": 1.0}, "--wavenumber is for --equation helmholtz"),
    (lambda f: {"coefficient": 1.0, "equation": "darcy", "source": 1.0}, "--coefficient is for"),
    (lambda f: {"total": 1.0, "equation": "darcy", "source": 1.0}, "--total is for"),
    (lambda f: {"mask": np.ones(SHAPE)}, "--mask is for --source"),
    (lambda f: {"source_std": 1.0}, "--source-std is for --source"),
    (lambda f: {"refine": 1e-8}, "--refine is for learned solvers"),
    (lambda f: {"lengths": (1.0,)}, "--lengths has 1 numbers, expected 2, x first"),
    (lambda f: {"lengths": (1.0, -1.0)}, "--lengths is -1.0"),
    (lambda f: {"origin": (0.0, float("nan"))}, "--origin is nan"),
    (lambda f: {"scale": 0.0}, "--scale is 0.0"),
    (lambda f: {"coefficient": float("nan")}, "--coefficient is nan"),
    (lambda f: {"coefficient": -1.0}, "a is -1 somewhere, expected positive numbers"),
    (lambda f: {"coefficient": np.linspace(-1, 1, 20).reshape(SHAPE)}, "a is -1 somewhere"),
    (lambda f: {"coefficient": np.ones((3, 3))}, "has the shape (3, 3), expected (4, 5)"),
    (lambda f: {"coefficient": np.ones(SHAPE), "equation": "heat", "time": 1.0}, "of heat the diffusivity is one"),
    (lambda f: {"bounds": (2.0, 1.0)}, "--bounds are 2.0 and 1.0"),
    (lambda f: {"bounds": (float("nan"), 1.0)}, "--bounds are nan"),
    (lambda f: {"bounds": (-2.0, -1.0), "positive": True}, "nothing lies between"),
    (lambda f: {"bounds": (-2.0, 1.0), "equation": "darcy", "source": 1.0}, "of darcy they are those of a"),
    (lambda f: {"source": np.full(SHAPE, np.nan)}, "element (0, 0) is nan"),
    (lambda f: {"source": np.ones((5, 4))}, "has the shape (5, 4), expected (4, 5)"),
    (lambda f: {"source": np.ones(SHAPE, complex)}, "complex"),
    (lambda f: {"source": f}, "a folder"),
    (lambda f: {"source": f / "none.npy"}, "not found"),
    (lambda f: {"source": np.ones(SHAPE), "mask": np.zeros(SHAPE)}, "holds nowhere"),
    (lambda f: {"source": np.ones(SHAPE), "mask": np.full(SHAPE, 3)}, "other values than 0 and 1"),
    (lambda f: {"source": np.ones(SHAPE), "total": 9.0}, "but --source integrates to"),
    (lambda f: {"boundary": NEUMANN, "source": np.zeros(SHAPE)}, "the source integrates to 0, the flux"),
    (lambda f: {"boundary": NEUMANN, "total": 3.0}, "--total is 3, but the flux through the boundary is 1"),
    (lambda f: {"boundary": "neumann:-1", "positive": True}, "the total of the source is -4, but within its bounds"),
    (lambda f: {"boundary": "neumann:1", "equation": "darcy", "source": 1.0}, "the source integrates to 1, the flux"),
    (lambda f: {"boundary": "robin"}, "robin"),
    (lambda f: {"source_sensors": sensors("0.5,0.5,nan,1")}, "line 3: value is 'nan'"),
    (lambda f: {"source_sensors": sensors("0.5,0.5,1,0")}, "line 3: std is 0"),
    (lambda f: {"solution_sensors": sensors("1.5,0.5,1,1")}, "line 3: x is 1.5, expected 0 to 1, inside"),
    (lambda f: {"solution_sensors": "x,y,value,std\n0,0.5,1,1\n"}, "lie on Dirichlet sides"),
    (lambda f: {"solution_sensors": "x,value,std\n0,0.5,1\n"}, "column 'y' is missing"),
    (lambda f: {"truth": np.ones((3, 3))}, "has none of source and solution"),
]


@pytest.mark.parametrize(("said", "message"), WRONG)
def test_what_cannot_be_is_named(tmp_path: Path, said: Callable[[Path], Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        asked(tmp_path, **said(tmp_path))
    assert message in str(error.value)


def test_a_resonance_is_named(tmp_path: Path) -> None:
    eigenvalue = float(problem_of(PoissonRequest(), SHAPE).equation.grid.laplacian.min())
    with pytest.raises(InputError, match="in resonance"):
        asked(tmp_path, equation="helmholtz", wavenumber=eigenvalue**0.5)

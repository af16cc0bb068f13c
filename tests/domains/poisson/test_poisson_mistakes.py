"""Mistakes of users that were once taken for something else, and right inputs that were once refused."""

from json import dumps, loads
from pathlib import Path
from subprocess import run
from sys import executable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import ornstein as on
from ornstein.domains.poisson.asked.given import field_of, mask_of
from ornstein.domains.poisson.asked.requests import PoissonRequest, problem_of, request
from ornstein.domains.poisson.asked.sensors import read_sensors
from ornstein.domains.poisson.asked.truths import truth_of
from ornstein.domains.poisson.equations import Boundary, Elliptic, Grid, Problem, refine
from ornstein.domains.poisson.factors import solution_sensors, source_sensors
from ornstein.domains.poisson.metrics import ByBounds
from ornstein.domains.poisson.results.exported import netcdf
from ornstein.domains.poisson.results.solutions import solved
from ornstein.domains.poisson.task import PoissonConfig
from ornstein.errors import InputError
from ornstein.tasks.samples import Samples

SHAPE = (3, 4)
METADATA: dict[str, Any] = {"learns": "sources", "shape": [1, *SHAPE], "mean": 0.0, "std": 1.0}
REST = ",right=dirichlet,bottom=dirichlet,top=dirichlet"


def saved(folder: Path, field: np.ndarray, downwards: bool, name: str = "source") -> Path:
    """A NetCDF file of a field on the unknowns of a unit square, whose y may run downwards."""
    grid = Grid(SHAPE, Boundary.of("dirichlet", 2))
    y, x = (at.numpy() for at in grid.coordinates)
    data = xr.Dataset({name: (("y", "x"), field)}, {"y": y, "x": x})
    path = folder / f"{name}.nc"
    (data.isel(y=slice(None, None, -1)) if downwards else data).to_netcdf(path, engine="scipy")
    return path


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"boundary": ""}, "boundary: '' is no kind of side"),
        ({"boundary": "dirichlet:1_0"}, "'1_0' is no value, expected a finite number"),
        ({"boundary": "dirichlet:nan"}, "'nan' is no value"),
        (
            {"equation": "helmholtz", "wavenumber": 1e200},
            "--wavenumber is 1e+200, expected a number in [1e-100, 1e100]",
        ),
        ({"equation": "screened", "screening": 1e200}, "--screening is 1e+200"),
        ({"lengths": (1e-200, 1.0)}, "--lengths is 1e-200"),
        ({"scale": 1e300}, "--scale is 1e+300"),
        ({"coefficient": 1e300}, "--coefficient is 1e+300"),
        ({"source": 1.0, "source_std": -1.0}, "--source-std is -1.0"),
        ({"bounds": (-np.inf, np.inf)}, "no bound: leave them out"),
        (
            {"positive": True, "source": -1.0},
            "element (0, 0) is -1, which is known exactly, but its bounds are 0 to inf",
        ),
        ({"bounds": (3.0, 5.0), "source": 1.0}, "is 1, which is known exactly, but its bounds are 3 to 5"),
    ],
)
def test_what_was_taken_for_something_else_is_named(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        request(PoissonRequest(**said), range(1), METADATA)
    assert message in str(error.value)


def test_what_is_known_with_noise_or_elsewhere_may_lie_out_of_bounds(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.arange(12).reshape(SHAPE) > 0)
    field = np.ones(SHAPE)
    field[0, 0] = -1.0  # where it is not known
    np.save(tmp_path / "source.npy", field)
    part = PoissonRequest(source=tmp_path / "source.npy", mask=tmp_path / "mask.npy", positive=True)
    noisy = PoissonRequest(source=-0.1, source_std=1.0, positive=True)
    assert all(len(request(one, range(1), METADATA).guides) == 2 for one in (part, noisy))


def test_small_coefficients_are_positive() -> None:
    equation = problem_of(PoissonRequest(coefficient=1e-60), SHAPE).equation
    assert isinstance(equation, Elliptic)
    assert equation.a == 1e-60


def test_sides_are_said_with_spaces_and_their_files_are_checked_before_they_are_read(tmp_path: Path) -> None:
    found = Boundary.parse(f" left = dirichlet : 1.5 {REST}", 2)
    assert float(found.sides[1][0].value) == 1.5
    np.save(tmp_path / "v.NPY.npy", [1, 2, 3])
    assert Boundary.parse(f"left=dirichlet:{tmp_path}/v.NPY.npy{REST}", 2).sides[1][0].value.tolist() == [1.0, 2.0, 3.0]
    np.save(tmp_path / "bad.npy", np.array([None]), allow_pickle=True)
    np.save(tmp_path / "complex.npy", np.ones(3, complex))
    np.save(tmp_path / "huge.npy", np.zeros(3))
    header = (tmp_path / "huge.npy").read_bytes()[:128].replace(b"(3,), }            ", b"(20000000000,), }  ")
    (tmp_path / "huge.npy").write_bytes(header)
    with (tmp_path / "huge.npy").open("r+b") as file:
        file.truncate(128 + 8 * 20_000_000_000)  # of which nothing is on the disk
    for name, said in (
        ("bad", "objects"),
        ("complex", "complex128"),
        ("huge", "at most 10,000,000"),
        ("no", "not found"),
    ):
        with pytest.raises(InputError, match=said):
            Boundary.parse(f"left=dirichlet:{tmp_path}/{name}.npy{REST}", 2)


def test_files_that_run_downwards_are_turned_and_their_masks_with_them(tmp_path: Path) -> None:
    field, at = np.random.default_rng(0).normal(size=SHAPE), Grid(SHAPE, Boundary.of("dirichlet", 2)).coordinates
    for down in (False, True):
        assert np.array_equal(field_of(saved(tmp_path, field, down), SHAPE, "--source", (), at).numpy(), field)
        mask = (field > 0).astype("i4")
        assert np.array_equal(mask_of(saved(tmp_path, mask, down, "mask"), SHAPE, "--mask", at).numpy(), field > 0)
        problem = Problem(Elliptic(Grid(SHAPE, Boundary.of("dirichlet", 2))))
        assert np.array_equal(truth_of(saved(tmp_path, field, down), problem)["true_source"].numpy(), field)


def test_a_truth_of_another_domain_is_named(tmp_path: Path) -> None:
    problem = Problem(Elliptic(Grid(SHAPE, Boundary.of("dirichlet", 2), lengths=(1.0, 2.0))))
    with pytest.raises(InputError, match=r"x is 0\.2 where a node of the grid is at 0\.4"):
        truth_of(saved(tmp_path, np.ones(SHAPE), False), problem)


def test_sensors_on_the_border_may_be_in_single_precision(tmp_path: Path) -> None:
    origin, length = (500_000.1, -0.1), (0.7, 0.3)
    corner = [np.array([o + size], np.float32) for o, size in zip(origin, length, strict=True)]
    np.savez(tmp_path / "s.npz", x=corner[0], y=corner[1], value=np.ones(1), std=np.ones(1))
    found = read_sensors(tmp_path / "s.npz", 2).inside(
        origin, [o + size for o, size in zip(origin, length, strict=True)]
    )
    grid = Grid(SHAPE, Boundary.of("neumann", 2), lengths=length[::-1], origin=origin[::-1])
    assert grid.interpolation(found.points)(torch.ones(1, *SHAPE)).tolist() == [[1.0]]


def test_readings_on_a_dirichlet_side_that_contradict_it_are_told(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("x,y,value,std\n0,0.5,3.5,0.5\n0.5,0.5,1,1\n")
    asked = PoissonRequest(solution_sensors=tmp_path / "s.csv", boundary="dirichlet:1")
    assert "the furthest is 5 std off it" in request(asked, range(1), METADATA).notes[0]


@pytest.mark.parametrize("scales", [(1e-15, 1e-10), (1e9, 1e9)])
def test_units_change_nothing(scales: tuple[float, float]) -> None:
    world, found = (
        on.oracles.gaussian_field(on.roots.power_law((1, 6, 6), 2, on.transforms.Separable(("cosine", "cosine")))),
        [],
    )
    for length, size in ((1.0, 1.0), scales):
        grid = Grid((6, 6), Boundary.of("dirichlet", 2), lengths=(length, length))
        problem = Problem(Elliptic(grid), scale=size)
        unit = length**2 * size  # of the solution
        points, values = np.array([[0.3, 0.4], [0.6, 0.6]]) * length, np.array([0.02, 0.01]) * unit
        factor = solution_sensors(problem, (points, values, 1e-3 * unit))
        x = on.sample(world & factor, 2, steps=3, seed=1).x
        found.append(x.double())
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sensors", [solution_sensors, source_sensors])
@pytest.mark.parametrize(("value", "std"), [(1e30, 1.0), (1.0, 1e-30), (1e300, 1.0)])
def test_readings_beyond_single_precision_are_named(sensors: Any, value: float, std: float) -> None:
    problem = Problem(Elliptic(Grid(SHAPE, Boundary.of("dirichlet", 2))))
    with pytest.raises(InputError, match=r"sensor 1: value is .* expected at most 1e[+]15 times its std"):
        sensors(problem, ([[0.5, 0.5], [0.4, 0.4]], [0.0, value], [std, std]))


def test_readings_that_bounds_rule_out_are_named(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("x,y,value,std\n0.5,0.5,0.9,0.1\n0.5,0.5,3,0.1\n")
    darcy = {"coefficient_sensors": tmp_path / "s.csv", "bounds": (0.5, 2.0), "equation": "darcy", "source": 1.0}
    for said in ({"source_sensors": tmp_path / "s.csv", "bounds": (-0.5, 0.5)}, darcy):
        with pytest.raises(InputError, match=r"line 3: value is 3, expected .*, its bounds, to within 10 std"):
            request(PoissonRequest(**said), range(1), METADATA)  # pyright: ignore[reportArgumentType]


def test_how_far_samples_are_out_of_bounds_is_a_score() -> None:
    problem = Problem(Elliptic(Grid(SHAPE, Boundary.of("dirichlet", 2))))
    field = torch.zeros(2, 1, *SHAPE)
    field[1, 0, 0, 0], field[0, 0, 1, 1] = -0.25, 0.125
    found = {}
    for said in ({"bounds": ["-inf", 0.0]}, {"positive": True}, {"bounds": [-1.0, 1.0]}, {}):
        drawn = Samples(field, settings=said)
        tally = ByBounds(said)
        for k in range(2):
            tally.add(drawn[k : k + 1], solved(problem, field[k : k + 1]))
        found[str(said)] = [metric.value for metric in tally.metrics()]
    assert list(found.values()) == [[0.125, 1 / 24], [0.25, 1 / 24], [0.0, 0.0], []]
    with pytest.raises(InputError, match="settings: bounds are"):
        ByBounds({"bounds": ["low", 1]})


GRID = Grid(SHAPE, Boundary.of("dirichlet", 2))
PROBLEM = Problem(Elliptic(GRID))
FIELD = torch.ones(1, *SHAPE, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Grid(SHAPE, GRID.boundary, lengths=(1e-200, 1.0)), "expected 2 numbers from 1e-100 to 1e100"),
        (lambda: refine(Elliptic(GRID), FIELD[0], FIELD[0]), "the guess has the shape (3, 4), expected a batch"),
        (lambda: refine(Elliptic(GRID), FIELD[:0], FIELD[:0]), "the guess has the shape (0, 3, 4), expected a batch"),
        (lambda: source_sensors(PROBLEM, (torch.ones(1, 2, requires_grad=True), [1.0], 0.1)), "want a gradient"),
    ],
)
def test_what_python_is_given_wrong_is_named(call: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)


TYPES = {
    "p.Grid((3, 4), None)": "boundary: a NoneType, expected a kind",
    "p.Boundary.parse(1, 2)": "boundary: a int, expected text",
    "p.Elliptic('x')": "Elliptic: the grid is a str, expected a Grid",
    "p.Heat(None, 1.0, 1.0)": "Heat: the grid is a NoneType",
    "p.Problem(grid)": "problem: a Grid, expected an equation",
    "p.total(problem.equation, 1.0)": "a Elliptic instead of a problem",
    "p.bounds(problem, -1.0, 1.0, 'thin')": "slack is 'thin'",
    "problem.equation.solution(field.long())": "the source is a tensor of torch.int64",
    "problem.equation.solution(field.numpy())": "the source is a ndarray",
    "p.refine(problem.equation, field.numpy(), field)": "the guess is a ndarray",
    "p.refine(p.Heat(grid, 1.0, 1.0), field, field)": "refine: of Heat there is nothing to refine",
}
"""Calls with values of wrong types, for a process in which types are not checked by the tests themselves."""


@pytest.mark.slow
def test_values_of_wrong_types_are_named() -> None:
    script = """
import json, sys, torch, ornstein as on
p, said = on.poisson, {}
grid = p.Grid((3, 4), p.Boundary.of("dirichlet", 2))
problem, field = p.Problem(p.Elliptic(grid)), torch.ones(1, 3, 4, dtype=torch.float64)
for call in json.loads(sys.argv[1]):
    try:
        eval(call)
    except on.errors.InputError as error:
        said[call] = str(error)
print(json.dumps(said))
"""
    found = run([executable, "-c", script, dumps(list(TYPES))], capture_output=True, text=True, check=True)
    said = loads(found.stdout)
    assert {call: message in said.get(call, "") for call, message in TYPES.items()} == dict.fromkeys(TYPES, True)


def test_the_netcdf_file_holds_the_coefficient(tmp_path: Path) -> None:
    a = np.random.default_rng(0).uniform(1, 2, SHAPE)
    np.save(tmp_path / "a.npy", a)
    asked = PoissonRequest(coefficient=tmp_path / "a.npy", lengths=(2.0, 3.0), equation="screened", screening=2.0)
    found = request(asked, range(1), METADATA)
    drawn = Samples(torch.ones(1, 1, *SHAPE), dict(found.beside), settings=dict(found.record))
    netcdf(tmp_path / "s.nc", solved(problem_of(asked, SHAPE), drawn.x), drawn, {})
    with xr.open_dataset(tmp_path / "s.nc", engine="scipy") as data:
        assert np.array_equal(data["coefficient"].values[1:-1, 1:-1], a)


def test_fields_that_no_memory_holds_are_not_made() -> None:
    with pytest.raises(InputError, match="4,294,967,296 unknowns, expected at most 16,777,216"):
        PoissonConfig(shape=(65536, 65536))

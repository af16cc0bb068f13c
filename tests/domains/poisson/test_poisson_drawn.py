"""What is written of samples: solutions that hold exactly, files that are read again by themselves, and scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

import ornstein as on
from ornstein.denoisers.base import Origin
from ornstein.domains.poisson import drawn, metrics, solutions
from ornstein.domains.poisson.equations import Boundary, Elliptic, Grid, Problem
from ornstein.domains.poisson.requests import PoissonRequest, request
from ornstein.errors import InputError
from ornstein.files import sha256
from ornstein.tasks.samples import Samples
from worlds import rejected

SHAPE = (8, 9)
SPECTRUM = on.roots.power_law((1, *SHAPE), 2, on.transforms.Separable(("cosine", "cosine")))
WORLD = on.oracles.gaussian_field(SPECTRUM, noise_cov=SPECTRUM)
SIDES = "left=dirichlet:1,right=neumann:0.5,bottom=dirichlet:0,top=dirichlet:2"


def metadata(shape: tuple[int, ...], learns: str = "sources") -> dict[str, Any]:
    spectrum = {"alpha": 2.0, "tau": 3.0}
    return {"learns": learns, "shape": [1, *shape], "mean": 0.0, "std": 1.0, "spectrum": spectrum}


def samples(x: torch.Tensor, asked: PoissonRequest, **said: Any) -> Samples:
    """As the engine gives them: the request's flags and record as settings, what is kept beside as conditions."""
    facts = metadata(tuple(x.shape[2:]))
    found = request(asked, range(len(x)), facts)
    origin = Origin("poisson", "test", {}, facts, "")
    settings = {**{name: getattr(asked, name) for name in asked.said}, **found.record, "first": 5}
    return Samples(x, dict(found.beside), origin, settings=settings, **said)


def written(of: Samples, folder: Path) -> dict[str, Any]:
    """Writes them; the manifest."""
    folder.mkdir(exist_ok=True)
    drawn.write(of, folder)
    files = {path.name: sha256(path) for path in folder.iterdir()}
    assert of.origin is not None
    return {"n": len(of), "files": files, "model": of.origin.record(), "settings": dict(of.settings)}


@pytest.fixture(scope="module")
def posterior(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Samples of an exact posterior by sensors, with a truth."""
    folder = tmp_path_factory.mktemp("given")
    truth = WORLD.draw(on.Keys.of(7, 1)).double()[0, 0]
    np.savez(folder / "truth.npz", source=0.5 + 2.0 * truth.numpy())
    points = torch.rand(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    asked = PoissonRequest(boundary=SIDES, mean=0.5, scale=2.0, truth=folder / "truth.npz")
    facts = metadata(SHAPE)
    beside = request(asked, range(1), facts).beside
    grid = Grid(SHAPE, solutions.problem_in(samples(truth[None, None], asked)).equation.grid.boundary)  # pyright: ignore
    values = grid.interpolation(points)(beside["true_solution"])[0]
    lines = [f"{x},{y},{v},0.001" for (x, y), v in zip(points.tolist(), values.tolist(), strict=True)]
    (folder / "phi.csv").write_text("\n".join(["x,y,value,std", *lines]))
    asked = PoissonRequest(
        boundary=SIDES, mean=0.5, scale=2.0, truth=folder / "truth.npz", solution_sensors=folder / "phi.csv"
    )
    (guide,) = request(asked, range(40), facts).guides
    return samples(on.sample(WORLD & guide, 40, steps=6, exact="particles", particles=40).x, asked)


@pytest.fixture(scope="module")
def folder(posterior: Samples, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """They, written, and their manifest."""
    path = tmp_path_factory.mktemp("written")
    return path, written(posterior, path)


def test_the_equation_holds_in_every_sample(posterior: Samples) -> None:
    found = solutions.solved_in(posterior)
    assert found is not None
    assert found.residual.max() < 1e-12
    assert found.error_bound.max() < 1e-11
    assert (found.violation == 0).all()
    assert (found.whole[:, -1, 1:-1] == 2).all()
    crude = solutions.Solved.of(found.problem, found.unknown, found.solution + 1e-3)  # a twin that solves nothing
    assert crude.residual.min() > 1e-6
    exact = (crude.solution - found.solution).flatten(1).norm(dim=1) / crude.solution.flatten(1).norm(dim=1)
    assert (exact <= crude.error_bound * (1 + 1e-9)).all()  # the bound holds


def test_what_is_written_is_read_again_without_the_files(posterior: Samples, folder: tuple[Path, Any]) -> None:
    x, condition = drawn.read(*folder)
    assert isinstance(x, torch.Tensor)
    assert x.equal(posterior.x)
    again = Samples(x, condition, posterior.origin, settings=posterior.settings)
    assert metrics.evaluate(again) == metrics.evaluate(posterior)
    with np.load(folder[0] / drawn.NPZ) as arrays:
        assert arrays["solution"].shape == (40, 10, 10)
        assert arrays["source"] == pytest.approx(0.5 + 2 * posterior.x[:, 0].double().numpy())
        assert arrays["whole_x"][[0, -1]] == pytest.approx([0.0, arrays["x"][-1]])
        assert set(arrays.files) >= {
            "residual",
            "error_bound",
            "violation",
            "true_source",
            "solution_sensors",
            "x",
            "y",
        }


def test_the_netcdf_file_is_of_xarray(posterior: Samples, folder: tuple[Path, Any]) -> None:
    found = solutions.solved_in(posterior)
    assert found is not None
    with xr.open_dataset(folder[0] / drawn.NETCDF) as data:
        assert data.solution.dims == ("number", "y", "x")
        assert data.number.values.tolist() == list(range(5, 45))
        assert data.solution.attrs["units"] == "unit of phi"
        assert np.array_equal(data.solution.values, found.whole.numpy())
        assert data.solution_std.values == pytest.approx(found.whole.std(0).numpy())
        assert np.isnan(data.source.values[:, 0]).all()  # a source is none on a Dirichlet side
        inner = data.source.values[:, 1:-1, 1:]
        assert np.array_equal(inner, found.unknown.numpy())
        assert float(data.sel(x=0.0, y=0.5, method="nearest").solution[0]) == 1.0


def test_figures_show_truth_mean_spread_samples_and_sensors(posterior: Samples, folder: tuple[Path, Any]) -> None:
    for name in ("source", "solution"):
        assert min(Image.open(folder[0] / f"{name}.png").size) > 200
    captions = [figure.caption for figure in drawn.figures(posterior)]
    assert captions[0].startswith("Truth, mean and spread of 40 members, and the first 3 of them (source ρ)")
    assert captions[1].endswith("(solution φ); dots: 20 sensors.")


def test_samples_of_the_posterior_are_judged_as_right(posterior: Samples) -> None:
    found = {metric.name: metric for metric in metrics.evaluate(posterior)}
    assert found["solution: relative error of the mean"].value < 0.01
    assert found["source: relative error of the mean"].value < 0.6
    assert found["source: coverage, 90.2%"].value == pytest.approx(0.9, abs=0.15)
    assert found["misfit of the solution sensors"].value == pytest.approx(1.0, abs=0.4)
    assert found["largest PDE residual"].value < 1e-12
    assert found["largest boundary violation"].value == 0
    assert found["certified error"].value < 1e-11
    narrow = Samples(
        posterior.x.mean(0) + 0.2 * (posterior.x - posterior.x.mean(0)),
        posterior.condition,
        posterior.origin,
        settings=posterior.settings,
    )
    too_sure = {metric.name: metric for metric in metrics.evaluate(narrow)}

    def covers(value: float) -> None:
        assert value == pytest.approx(0.9, abs=0.15)

    rejected(covers, too_sure["source: coverage, 90.2%"].value)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((12,), {"boundary": "left=dirichlet:0,right=neumann:1"}),
        ((4, 5, 6), {"lengths": (1.0, 2.0, 3.0)}),
        ((6, 5), {"equation": "heat", "time": 0.01, "boundary": "periodic"}),
        ((6, 5), {"equation": "darcy", "source": 1.0, "boundary": "dirichlet:0.5"}),
        ((6, 5), {"boundary": "neumann:0"}),
    ],
)
def test_every_equation_and_dimension_is_written_and_read(
    tmp_path: Path, shape: tuple[int, ...], said: dict[str, Any]
) -> None:
    x = torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    x = x - x.mean(tuple(range(1, x.ndim)), keepdim=True)
    of = samples(x, PoissonRequest(**said))
    manifest = written(of, tmp_path)
    again, condition = drawn.read(tmp_path, manifest)
    assert isinstance(again, torch.Tensor)
    assert again.equal(x)
    read = Samples(again, condition, of.origin, settings=of.settings)
    found = {metric.name: metric.value for metric in metrics.evaluate(read)}
    assert found["largest PDE residual"] < 1e-7
    assert sum(path.suffix == ".png" for path in tmp_path.iterdir()) == 2


def test_samples_of_no_request_keep_their_fields(tmp_path: Path) -> None:
    of = Samples(torch.randn(2, 1, *SHAPE), origin=Origin("poisson", "test", {}, metadata(SHAPE), ""))
    manifest = written(of, tmp_path)
    assert list(manifest["files"]) == [drawn.NPZ]
    assert drawn.read(tmp_path, manifest)[0].equal(of.x)  # pyright: ignore[reportAttributeAccessIssue]
    assert not drawn.figures(of)
    problem = Problem(Elliptic(Grid(SHAPE, Boundary.of("dirichlet", 2))))
    assert solutions.solved(problem, of.x).residual.max() < 1e-12


def test_a_folder_that_was_tampered_with_is_named(folder: tuple[Path, Any], tmp_path: Path) -> None:
    path, manifest = folder
    with np.load(path / drawn.NPZ) as arrays:
        kept = dict(arrays)
    for wrong, said in (
        ({"field": kept["field"][:, :, :3]}, "array 'field' has the shape"),
        ({"field": kept["field"] * np.nan}, "not finite"),
        ({"true_source": kept["true_source"] * np.nan}, "array 'true_source' holds numbers that are not finite"),
        ({"solution_sensors": kept["solution_sensors"][0]}, "solution_sensors"),
        ({"true_solution": kept["true_source"][1:]}, "true_solution"),
    ):
        np.savez(tmp_path / drawn.NPZ, **{**kept, **wrong})
        with pytest.raises(InputError, match=said):
            drawn.read(tmp_path, manifest)
    np.savez(tmp_path / drawn.NPZ, **kept)
    words = {**manifest["settings"]["problem"], "lengths": [0.0, 1.0]}
    with pytest.raises(InputError, match="field lengths"):
        drawn.read(tmp_path, {**manifest, "settings": {**manifest["settings"], "problem": words}})

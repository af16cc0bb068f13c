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
from ornstein.domains.poisson.asked.flags import PoissonRequest
from ornstein.domains.poisson.asked.requests import request
from ornstein.domains.poisson.data import spectrum
from ornstein.domains.poisson.equations import Boundary, Elliptic, Grid, Heat, Problem
from ornstein.domains.poisson.results import drawn, solutions
from ornstein.domains.poisson.task import Poisson
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
    assert Poisson().evaluate(again) == Poisson().evaluate(posterior)
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
    found = {metric.name: metric for metric in Poisson().evaluate(posterior)}
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
    too_sure = {metric.name: metric for metric in Poisson().evaluate(narrow)}

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
    found = {metric.name: metric.value for metric in Poisson().evaluate(read)}
    assert found["largest PDE residual"] < 1e-12
    assert sum(path.suffix == ".png" for path in tmp_path.iterdir()) == 2


def test_one_sample_has_no_spread(posterior: Samples, tmp_path: Path) -> None:
    one = posterior[:1]
    manifest = written(one, tmp_path)
    x, condition = drawn.read(tmp_path, manifest)
    names = [metric.name for metric in Poisson().evaluate(Samples(x, condition, one.origin, settings=one.settings))]
    assert "solution: relative error of the mean" in names
    assert not [name for name in names if "spread" in name or "coverage" in name]
    with xr.open_dataset(tmp_path / drawn.NETCDF) as data:
        assert "solution_std" not in data


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


def test_what_a_learned_solver_drew_is_corrected_to_what_was_asked_for(tmp_path: Path) -> None:
    rho = torch.randn(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.save(tmp_path / "rho.npy", rho.numpy())
    np.savez(tmp_path / "truth.npz", source=rho.numpy())
    asked = PoissonRequest(
        source=tmp_path / "rho.npy", boundary="dirichlet:0.5", refine=1e-9, truth=tmp_path / "truth.npz"
    )
    facts = metadata((16, 16), "solutions")
    found = request(asked, range(3), facts)
    assert set(found.condition) == {"source", "lift", "scale"}
    assert any("a direct solve of the equation is exact" in note for note in found.notes)
    equation = Elliptic(Grid((16, 16), Boundary.parse("dirichlet:0.5", 2)))
    exact = equation.solution(rho)
    off = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    x = (exact + 0.01 * exact.std() * off).float()
    settings = {"source": "rho.npy", "refine": 1e-9, **found.record}
    of = Samples(x, dict(found.beside), Origin("poisson", "test", {}, facts, ""), settings=settings)
    (tmp_path / "out").mkdir()
    manifest = written(of, tmp_path / "out")
    with np.load(tmp_path / "out" / drawn.NPZ) as arrays:
        assert np.abs(arrays["refined"][:, 1:-1, 1:-1] - exact.numpy()).max() < 1e-8 * float(exact.abs().max())
        assert (arrays["refined"][:, 0] == 0.5).all()
        assert (arrays["refined_residual"] <= 1e-9).all()
        size = float(exact.norm())
        errors = np.linalg.norm((arrays["refined"][:, 1:-1, 1:-1] - exact.numpy()).reshape(3, -1), axis=1) / size
        assert (errors <= arrays["refined_error_bound"]).all()
        iterations = arrays["iterations"]
    again, condition = drawn.read(tmp_path / "out", manifest)
    read = Samples(again, condition, of.origin, settings=settings)
    scores = {metric.name: metric for metric in Poisson().evaluate(read)}
    assert scores["solution: relative error of the mean"].value > 1e-6
    assert not any(name.startswith("source") for name in scores)  # which it was given
    assert scores["iterations of refine"].value == iterations.mean()
    assert scores["iterations of refine"].reference is not None
    assert scores["largest PDE residual"].value > 1e-4  # the samples are what the network drew
    assert scores["largest residual, refined"].value <= 1e-9


def test_what_a_learned_solver_is_not_asked(tmp_path: Path) -> None:
    facts = metadata((16, 16), "solutions")
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "--source is not given"),
        ({"source": 1.0, "total": 1.0}, "--total is for models of sources"),
        ({"source": 1.0, "boundary": "neumann:0"}, "found neumann"),
        ({"source": 1.0, "equation": "helmholtz", "wavenumber": 1.0}, "the learned solver has learnt"),
        ({"source": 1.0, "lengths": (1.0, 2.0)}, "the learned solver has learnt"),
    )
    for said, message in wrong:
        with pytest.raises(InputError, match=message):
            request(PoissonRequest(**said), range(1), facts)


def test_samples_of_no_question_have_the_power_of_the_data() -> None:
    law = spectrum(metadata((16, 16)))
    x = law.root(torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0)))

    def right(fields: torch.Tensor) -> None:
        found = Poisson().evaluate(samples(fields, PoissonRequest()))
        judged = [one for one in found if one.reference_name == "data"]
        assert len(judged) == 5
        for one in judged:
            assert one.off is not None
            assert abs(one.off) < 4

    right(x)
    rejected(right, 1.2 * x)
    rejected(right, x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))


def test_sources_that_no_solution_has_stay_as_they_are() -> None:
    problem = Problem(Elliptic(Grid(SHAPE, Boundary.parse("neumann:1", 2))))
    right = torch.full((1, 1, *SHAPE), 4.0)  # the flux of 1 through four sides
    assert solutions.solved(problem, right * (1 + 1e-7)).residual < 1e-12
    assert solutions.solved(problem, right * 1.1).residual > 0.01


@pytest.mark.parametrize("equation", [Elliptic, Heat], ids=lambda kind: kind.__name__)
def test_where_nothing_drives_the_equation_residuals_are_shares_of_what_is_drawn(equation: Any) -> None:
    """Of φ = 0 alone it is 0, and of all other fields, however small, 1: none of them is any nearer to a solution."""
    problem = Problem(equation(Grid(SHAPE, Boundary.of("dirichlet", 2))))
    sizes = torch.tensor([0.0, 1e-30, 1.0])[:, None, None]
    fields = sizes * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    found = solutions.Solved.of(problem, torch.zeros(3, *SHAPE), fields)
    assert found.residual.tolist() == pytest.approx([0, 1, 1])


def test_what_is_known_for_sure_has_an_error_and_no_spread(tmp_path: Path) -> None:
    rho = np.random.default_rng(0).normal(size=(6, 5))
    np.savez(tmp_path / "t.npz", source=rho)
    of = samples(torch.tensor(rho).float().expand(3, 1, 6, 5), PoissonRequest(truth=tmp_path / "t.npz"))
    names = [metric.name for metric in Poisson().evaluate(of) if metric.name.startswith(("source", "solution"))]
    assert names == ["source: relative error of the mean", "solution: relative error of the mean"]
    assert all(np.isfinite(metric.value) for metric in Poisson().evaluate(of))

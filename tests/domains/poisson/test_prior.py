"""Models of sources: what they learn from, and what they know before they have learned anything."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ornstein as on
from ornstein import InputError, Keys
from ornstein.config import TrainConfig, update
from ornstein.domains.poisson import data
from ornstein.domains.poisson.learned import prior
from ornstein.domains.poisson.task import Poisson, PoissonConfig
from ornstein.files import require
from ornstein.networks.unet import UNetConfig
from ornstein.tasks import runs
from worlds import rejected

SMALL = UNetConfig(8, (1, 2), 1, ())


def config(**said: Any) -> PoissonConfig:
    return PoissonConfig(**{"network": SMALL, **said})


def records(made: Any, numbers: torch.Tensor) -> Any:
    return made.batch(numbers)[0]


def told(given: PoissonConfig) -> Any:
    """The metadata as they come back from a file."""
    return json.loads(json.dumps(dict(prior.data(given)[0].metadata)))


@pytest.mark.parametrize("name", data.MADE)
def test_what_is_made_is_a_function_of_the_record(name: str) -> None:
    train, held_out = prior.data(config(data=name, shape=(12, 16)))
    first = records(train, torch.arange(6))
    assert first.shape == (6, 1, 12, 16)
    assert torch.equal(records(train, torch.tensor([4, 0, 4])), first[[4, 0, 4]])
    assert not torch.isclose(records(held_out, torch.arange(6)), first).all((1, 2, 3)).any()
    assert len(train) > 100_000
    last = records(train, torch.tensor([len(train) - 1]))
    assert not torch.isclose(first, last).all((1, 2, 3)).any()
    many = records(held_out, torch.arange(256))
    assert abs(float(many.square().mean().sqrt()) - 1) < 0.1
    require(told(config(data=name, shape=(12, 16))), Poisson.facts, "facts")


@pytest.mark.parametrize("shape", [(24,), (12, 16), (4, 6, 5)])
def test_a_fresh_network_is_the_exact_denoiser_of_gaussian_sources(shape: tuple[int, ...]) -> None:
    """Where the noise has the spectrum of the sources and that is known; and it is their spectrum."""
    given = config(data="gaussian", shape=shape, coloured=True)
    spectrum = data.spectrum(told(given))
    world = on.oracles.gaussian_field(spectrum, noise_cov=spectrum)
    clean = data.Made("gaussian", shape, "validation", 512).batch(torch.arange(512))[0]
    x, t = clean[:4] + 0.5, torch.tensor([0.0, 0.2, 0.7, 1.0])

    def assert_exact(given: PoissonConfig) -> None:
        model: Any = Poisson().denoiser(given, told(given))
        with torch.no_grad():
            assert torch.allclose(model(x, t, {}).mean, world(x, t, {}).mean, atol=1e-5)

    assert_exact(given)
    rejected(assert_exact, config(data="gaussian", shape=shape))
    power = spectrum.basis.forward(clean.double()).square().mean(0) / spectrum.variance[0]
    assert torch.allclose(power, torch.ones_like(power), atol=8 * (2 / 512) ** 0.5)


def test_discs_have_the_spectrum_that_is_said() -> None:
    """Shells of few records, beside the power of other ones."""
    given = config(data="discs", shape=(16, 16))
    spectrum = data.spectrum(told(given))

    def assert_of_spectrum(clean: torch.Tensor) -> None:
        power = spectrum.basis.forward(clean.double()).square().mean(0) / spectrum.variance[0]
        assert abs(float(power.mean()) - 1) < 0.05
        assert 0.5 < float(power.min()) < float(power.max()) < 2

    clean = records(prior.data(given)[1], torch.arange(512))
    assert_of_spectrum(clean)
    rejected(assert_of_spectrum, 1.1 * clean)
    rejected(assert_of_spectrum, records(prior.data(config(data="gaussian", shape=(16, 16)))[1], torch.arange(512)))
    model: Any = Poisson().denoiser(given, told(given))
    assert model.space.noise_cov is None
    assert torch.equal(model.map(torch.zeros(1, 1, 16, 16)), torch.zeros(1, 1, 16, 16))
    assert 0.1 < float(model.map.std) < 1


def write(path: Path, fields: np.ndarray) -> str:
    """A file of sources, by the ending of its name."""
    if path.suffix == ".npy":
        np.save(path, fields)
    elif path.suffix == ".npz":
        np.savez(path, source=fields, other=fields)
    else:
        import xarray

        axes = (*("run", "z", "y", "x")[: fields.ndim - 1], "along")
        xarray.Dataset({"rho": (axes, fields)}, {"along": np.arange(fields.shape[-1])}).to_netcdf(path)
    return str(path)


@pytest.mark.parametrize("ending", ["npy", "npz", "nc"])
@pytest.mark.parametrize("shape", [(9,), (1, 6, 8), (6, 8), (4, 5, 6)])
def test_files_of_sources(tmp_path: Path, shape: tuple[int, ...], ending: str) -> None:
    """One to three axes, with or without a channel; told as what is made."""
    fields = 3 + 2 * Keys.of(1, 40).normal(*shape).float().numpy()
    given = config(data=write(tmp_path / f"mine.{ending}", fields))
    train, held_out = prior.data(given)
    grid = shape if shape[0] > 1 else shape[1:]
    assert (len(train), len(held_out)) == (36, 4)
    known = told(given)
    require(known, Poisson.facts, "facts")
    assert known["shape"] == [1, *grid]
    assert (known["mean"], known["std"]) == pytest.approx((fields[:36].mean(), fields[:36].std()), rel=1e-5)
    x = records(held_out, torch.arange(4))
    model: Any = Poisson().denoiser(given, known)
    assert np.allclose(model.map(x).numpy(), fields[36:].reshape(4, 1, *grid), atol=1e-5)
    assert model(x, torch.full((4,), 0.5), {}).mean.shape == x.shape
    assert 0.5 < float(data.spectrum(known).variance.mean()) < 1.5


def test_files_and_settings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    flat = write(tmp_path / "flat.npy", np.zeros(9))
    deep = write(tmp_path / "deep.npy", np.zeros((9, 2, 3, 3, 3)))
    same = write(tmp_path / "same.npy", np.ones((20, 4, 4)))
    gap = write(tmp_path / "gap.npy", np.where(np.arange(20)[:, None] == 7, np.nan, np.arange(100.0).reshape(20, 5)))
    np.savez(tmp_path / "two.npz", a=np.zeros((9, 3)), b=np.zeros((9, 3)))
    for said, message in (
        ({"data": flat}, "flat.npy: has the arrays none of two axes or more"),
        ({"data": deep}, r"deep.npy: variable 'deep' has the shape \(9, 2, 3, 3, 3\), expected records first"),
        ({"data": same}, "is 1 in all records"),
        ({"data": gap}, "gap.npy: variable 'gap'.* is nan at"),
        ({"data": str(tmp_path / "two.npz")}, "two.npz: has the arrays a, b .* expected one, or one called 'source'"),
        ({"data": str(tmp_path / "none.npy")}, "none.npy"),
        ({"data": gap, "shape": (5,)}, "--shape is for gaussian and discs"),
        ({"data": gap, "records": 9}, "--records is for gaussian and discs"),
    ):
        with pytest.raises(InputError, match=message):
            prior.data(config(**said))
    for wrong in ({"shape": [4, 4, 4, 4]}, {"shape": [1, 4]}, {"records": 0}, {"learns": "nothing"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            update(PoissonConfig(), wrong, "test")


@pytest.mark.parametrize("name", [None, "gaussian", "discs"])
def test_a_recipe_fits_data_of_the_users_own(tmp_path: Path, name: str | None) -> None:
    """`ornstein train poisson --data FILE` lays the file over a recipe, which then must not say a grid."""
    file = write(tmp_path / "mine.npy", Keys.of(1, 20).normal(10).numpy())
    given = replace(runs.recipe("poisson", name), data=file)
    assert told(given)["shape"] == [1, 10]


@pytest.mark.slow
@pytest.mark.parametrize("said", [{"data": "gaussian", "shape": (16,), "coloured": True}, {"data": "discs"}])
def test_a_model_is_trained_loaded_and_drawn_from(tmp_path: Path, said: dict[str, Any]) -> None:
    train = TrainConfig(steps=6, batch_size=4, validate_every=3, log_every=1, save_every=6, plan=())
    given = config(train=train, **{"shape": (12, 16), **said})
    model = on.load(runs.train("poisson", "tiny", given, tmp_path / "run"))
    drawn = on.sample(model, 2, steps=4)
    assert drawn.x.shape == (2, 1, *given.shape)
    assert drawn.x.isfinite().all()

"""A domain of fields by somebody else, whole: files, statistics, map, coloured noise, network, members, scores."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ornstein as on
from ornstein import InputError
from ornstein.config import TrainConfig
from ornstein.networks.unet import UNetConfig
from ornstein.spectral.shells import Shells
from ornstein.tasks import registry, runs
from ornstein.tasks.samples import read_samples
from ornstein.training.fields import open_given
from test_third_party import install

xarray = pytest.importorskip("xarray")
WAVES = Path(__file__).parent / "third_party" / "waves"
READINGS = "height,3,4,4.5,0.5\nflow,1,2,-0.2,0.02\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with data, and the domain installed in this process."""
    folder = tmp_path_factory.mktemp("waves")
    install(WAVES, folder / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "site"))
        for known in (registry.domains, registry._task):
            known.cache_clear()
        write_world = import_module("ornstein_waves.data").write_world

        write_world(folder / "waves.nc", 40, 8, 0)
        yield folder
    for known in (registry.domains, registry._task):
        known.cache_clear()


@pytest.fixture(scope="module")
def run(world: Path) -> Path:
    """A run of two steps."""
    config = registry.task("waves").config(
        data=world / "waves.nc",
        network=UNetConfig(4, (1,), 1, ()),
        train=TrainConfig(steps=2, batch_size=4, warmup=1, condition_dropout=0.0, plan=()),
    )
    runs.train("waves", "small", config, world / "run")
    return world / "run"


def ask(world: Path, **said: Any) -> Any:
    return registry.task("waves").request_type(**{"given": world / "waves.nc", "members": 2, **said})


def records(world: Path) -> Any:
    return xarray.open_dataset(world / "waves.nc").load()


def test_what_was_measured_of_the_data_reaches_the_model(world: Path, run: Path) -> None:
    """The map, the spectrum, the static field and the standardisation, by the file of weights alone."""
    model: Any = on.load(run)
    data, train = records(world), slice(0, 35)
    lacking = data.height[train] - data.forecast_height[train]
    metadata = model.origin.metadata
    assert metadata["scale"][0] == pytest.approx(float(lacking.std()), rel=1e-4)
    depth = (data.depth - data.depth.mean()) / data.depth.std()
    assert torch.allclose(model.network.static[0], torch.tensor(depth.values), atol=1e-4)
    assert model.map is not None
    assert model.map.names == {"base"}
    coloured = model.space.noise_cov
    assert len(json.dumps(metadata)) < 10_000
    assert float(coloured.variance.mean()) == pytest.approx(1.0, abs=0.1)  # of residuals in units of their spread
    assert float(coloured.variance[0, 0, 2, 2]) > 5 * float(coloured.variance[0, 0, 4, 4])


def test_members_stream_into_zarr_and_are_judged_by_what_lies_beside_them(world: Path, run: Path) -> None:
    """The same with a folder and without; the means hold in each; the truth is that of the record."""
    model, data = on.load(run), records(world)
    (world / "gauges.csv").write_text(READINGS)
    asked = ask(world, gauges=world / "gauges.csv", conserve=True)
    on.draw(model, asked, 6, steps=2, batch_size=2, out=world / "drawn")
    samples, plain = read_samples(world / "drawn"), on.draw(model, asked, 6, steps=2, batch_size=2)
    assert samples.x.equal(plain.x)
    assert samples.each["record"] == [0, 0, 1, 1, 2, 2]
    means = torch.from_numpy(data.forecast_height.mean(("y", "x")).values)[[0, 0, 1, 1, 2, 2]]
    assert torch.allclose(samples.x[:, 0].mean((1, 2)), means, atol=1e-5)
    written = xarray.open_zarr(world / "drawn" / "waves.zarr")
    assert written.height.attrs["units"] == "m"
    assert np.array_equal(written.true_flow[3], data.flow[1])
    names = [metric.name for metric in runs.evaluate(world / "drawn")]
    assert names[:2] == ["height: CRPS", "height: spread / skill"]
    assert len(registry.task("waves").figures(samples)) == 3
    samples[:2].save(world / "some")  # by the store, without a `write` of the domain's own
    assert read_samples(world / "some").x.equal(samples.x[:2])


def test_forecasts_without_a_truth_are_enough_to_draw(world: Path, run: Path) -> None:
    data = records(world)
    data[["forecast_height", "forecast_flow"]].isel(time=[3]).to_netcdf(world / "forecast.nc")
    samples = on.draw(on.load(run), ask(world, given=world / "forecast.nc"), 2, steps=2)
    whole = on.draw(on.load(run), ask(world, members=1), 4, steps=2)
    assert samples.condition["truth"].isnan().all()
    assert torch.allclose(samples.condition["forecast"][0], whole.condition["forecast"][3])
    with pytest.raises(InputError, match="had no height and flow"):
        registry.task("waves").evaluate(samples)
    assert len(registry.task("waves").figures(samples)) == 1


def test_a_population_is_of_one_record(world: Path, run: Path) -> None:
    """Others would take each other's places, and be called by the wrong record."""
    (world / "gauges.csv").write_text(READINGS)
    options: Any = {"steps": 3, "exact": "particles", "particles": 4}
    asked = ask(world, gauges=world / "gauges.csv", conserve=True)
    drawn = on.draw(on.load(run), asked, 2, first=2, **options)
    assert drawn.each["record"] == [1, 1]
    mean = float(records(world).forecast_flow[1].mean())
    assert torch.allclose(drawn.x[:, 1].mean((1, 2)), torch.full((2,), mean), atol=1e-6)
    with pytest.raises(InputError, match="record is 0 of some and 1 of others"):
        on.draw(on.load(run), asked, 4, **options)


def test_forecasts_of_another_kind_are_named(world: Path, run: Path) -> None:
    data = records(world)
    other = data.copy()
    other.forecast_flow.attrs["units"] = "km h-1"
    other.to_netcdf(world / "units.nc")
    data.isel(x=slice(0, 4)).to_netcdf(world / "grid.nc")
    data.drop_vars("forecast_flow").to_netcdf(world / "lacking.nc")
    metadata = on.load(run).origin.metadata  # pyright: ignore[reportOptionalMemberAccess]
    for name, message in (
        ("units", "'forecast_flow' is in 'km h-1', expected 'm s-1'"),
        ("grid", r"has a grid of \(8, 4\), expected \(8, 8\)"),
        ("lacking", "has no variable 'forecast_flow'"),
    ):
        with pytest.raises(InputError, match=message):
            open_given(world / f"{name}.nc", metadata)
    with pytest.raises(InputError, match="metadata: field layout is not there"):
        open_given(world / "waves.nc", {name: value for name, value in metadata.items() if name != "layout"})


def test_a_constraint_may_be_of_what_the_network_is_not_told(world: Path, run: Path) -> None:
    """What nobody knows is still refused."""
    model, given = on.load(run), open_given(world / "waves.nc", on.load(run).origin.metadata)([5, 5])  # pyright: ignore[reportOptionalMemberAccess]
    held = model & on.constraints.mean("means", (2, 8, 8))
    means = torch.tensor([[3.0, 0.1], [4.0, -0.1]])
    drawn = on.sample(held, 2, steps=2, condition={**given, "means": means})
    assert torch.allclose(drawn.x.mean((2, 3)), means, atol=1e-5)
    for wrong, name in ((model, "means"), (held, "meens")):
        with pytest.raises(InputError, match=f"knows no condition '{name}'"):
            on.sample(wrong, 2, steps=2, condition={**given, "means": means, name: means})


def test_a_spectrum_of_shells() -> None:
    """Few numbers keep an isotropic spectrum; they average what one record says of single modes."""
    basis = on.transforms.Separable(("cosine", "fourier"))
    spectral = on.roots.power_law((2, 12, 16), 3, basis)
    shells = Shells.of(spectral.variance[0], basis)
    again = Shells.from_record(json.loads(json.dumps(shells.record())))
    assert again == shells
    assert again.spectral.shape == (2, 12, 16)
    ratio = again.spectral.variance / spectral.variance
    assert 0.4 < float(ratio.min()) < float(ratio.max()) < 2.5  # the width of a shell, where the spectrum is steepest
    one = basis.forward(spectral.root(on.Keys.of(0, 1).normal(2, 12, 16))).square()[0]
    off = [(found / spectral.variance).log().abs().mean() for found in (Shells.of(one, basis).spectral.variance, one)]
    assert off[0] < 0.5 * off[1]
    short = {**shells.record(), "power": [[1.0]]}
    with pytest.raises(InputError, match="field power has 1 rows, expected 2 of"):
        Shells.from_record(short)
    with pytest.raises(InputError, match="channel 1 has no variance"):
        Shells.of(spectral.variance[0] * torch.tensor([1.0, 0.0])[:, None, None], basis)


def test_members_are_gathered_by_their_case() -> None:
    fields = np.arange(6)[:, None]
    cases, members = on.calibration.gathered(fields, [7, 3, 7, 3, 7, 3])
    assert cases == [3, 7]
    assert members[..., 0].tolist() == [[1, 3, 5], [0, 2, 4]]
    with pytest.raises(InputError, match="case 3 has 1 members and others have 2"):
        on.calibration.gathered(fields[:3], [7, 3, 7])


@pytest.mark.slow
def test_it_learns_and_goes_on_after_a_crash(tmp_path: Path) -> None:
    """Trained, stopped and resumed; samples cut off by kill -9 and drawn to the end; better than those of one step."""
    install(WAVES, tmp_path / "site")
    program = "import sys\nfrom ornstein.cli import main\nsys.exit(main(sys.argv[1:]))"
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def begun(line: str) -> "subprocess.Popen[str]":
        words = [sys.executable, "-c", program, *line.split()]
        return subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=-1, stderr=subprocess.STDOUT, text=True)

    def ornstein(line: str) -> str:
        said, _ = (process := begun(line)).communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    write = "from ornstein_waves.data import write_world as w; w(Path('{}'), {}, 16, {})"
    for name, n, seed in (("waves.nc", 600, 0), ("test.nc", 24, 1)):
        code = f"from pathlib import Path; {write.format(name, n, seed)}"
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
    options = "--network.channels 8 --train.batch-size 16 --train.plan 5 --train.decay constant"
    ornstein(f"train waves --data waves.nc {options} --train.steps 10 --out begun")
    ornstein(f"train waves --data waves.nc {options} --train.steps 300 --out begun --resume")
    ornstein(f"train waves --data waves.nc {options} --train.steps 1 --out fresh")
    sampled = "sample begun --given test.nc --members 8 --n 192 --steps 10 --out drawn"
    process = begun(sampled)
    while process.poll() is None and len(list(tmp_path.glob("drawn.part/*.safetensors"))) < 2:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "drawn").exists()
    ornstein(f"{sampled} --resume")
    ornstein("sample begun --given test.nc --members 8 --n 192 --steps 10 --out straight")
    ornstein("sample fresh --given test.nc --members 8 --n 192 --steps 10 --out untaught")
    one, other = (xarray.open_zarr(tmp_path / name / "waves.zarr") for name in ("drawn", "straight"))
    assert one.identical(other)
    ornstein("evaluate drawn")
    score = json.loads((tmp_path / "drawn" / "scores.json").read_text())[-1]["scores"][0]
    taught, untaught = (crps(tmp_path / name / "waves.zarr") for name in ("drawn", "untaught"))
    assert score["name"] == "height: CRPS"
    assert score["value"] == pytest.approx(taught.value)
    gained = taught.minus(untaught)  # over Gaussian fields of the right spectrum, which a network of zeros draws
    assert gained.value + 3 * (gained.error or 0.0) < 0


def crps(path: Path) -> on.calibration.Estimate:
    """Of the heights of 24 records with eight members each."""
    fields = xarray.open_zarr(path)
    members, truths = (fields[name].values.reshape(24, 8, 16, 16) for name in ("height", "true_height"))
    return on.calibration.crps(truths[:, 0], members)

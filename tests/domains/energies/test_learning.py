"""Learning from an energy alone: data that are made, mended by what the model proposes, and runs that resume.

The system is two unequal wells in a file of the user's own; shares, mean energy and log Z are known.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from math import log, pi, sqrt
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein import InputError
from ornstein.cli import main
from ornstein.config import TrainConfig, to_dict
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.denoisers.oracles import Mixture, gaussian_mixture
from ornstein.domains.energies import NetworkConfig
from ornstein.domains.energies.learning import first_data, renewed, spread
from ornstein.domains.energies.task import EnergiesConfig
from ornstein.errors import Interrupted
from ornstein.files import sha256
from ornstein.keys import Keys
from ornstein.mcmc.report import MCMCReport
from ornstein.networks import MLPConfig
from ornstein.spaces import Centered, Euclidean
from ornstein.tasks import requests, runs
from ornstein.tasks.registry import task
from ornstein.tasks.samples import read_samples
from ornstein.tasks.scores import latest_metrics
from ornstein.training import checkpoints
from ornstein.training.datasets import Arrays
from ornstein.training.metrics import read_metrics
from worlds import double, rejected, sliced_wasserstein

MEANS, STDS, WEIGHTS = double([[-2.0, 0.0], [2.0, 1.0]]), double([0.5, 0.8]), double([0.7, 0.3])
LOG_Z = log(2 * pi)
PLANE = Euclidean((2,))
SOURCE = """
import torch
from ornstein.domains.energies import System


def energy(x):
    means, stds = torch.tensor([[-2.0, 0.0], [2.0, 1.0]]).to(x), torch.tensor([0.5, 0.8]).to(x)
    weights = torch.tensor([0.7, 0.3]).to(x)
    squares = (x[:, None] - means).square().sum(2) / (2 * stds**2)
    return -(weights.log() - squares - 2 * stds.log()).logsumexp(1)


facts = {"log_z": 1.8378770664093453}
group = lambda x: (x[:, 0] > 0.2).long()
wells = System("wells", energy, (2,), 3.0, reference=facts, group=group, shares=torch.tensor([0.7, 0.3]))
flat = System("flat", lambda x: x.sum(1).detach(), (2,), 3.0)
nowhere = System("nowhere", lambda x: x.sum(1) * torch.nan, (2,), 3.0)
number = 3
"""


def world(weights: Tensor = WEIGHTS, wider: float = 1.0) -> Mixture:
    covs = (wider * STDS)[:, None, None] ** 2 * torch.eye(2).double()
    return gaussian_mixture(MEANS, covs, weights)


def energy(x: Tensor) -> Tensor:
    """That of the file: Z = 2π."""
    squares = (x[:, None] - MEANS.to(x)).square().sum(2) / (2 * STDS.to(x) ** 2)
    return -(WEIGHTS.to(x).log() - squares - 2 * STDS.to(x).log()).logsumexp(1)


def assert_share(x: Tensor, sigmas: float = 4.0) -> None:
    """The right well holds three tenths of x, as many independent draws."""
    share = (x[:, 0] > 0.2).double().mean().item()
    assert abs(share - 0.3) < sigmas * sqrt(0.3 * 0.7 / len(x)), share


def assert_mean_energy(x: Tensor) -> None:
    found, exact = energy(x.double()), energy(world().draw(Keys.of(50, 100_000)).double())
    assert abs(found.mean() - exact.mean()) < 4 * found.std() / len(x) ** 0.5, (found.mean(), exact.mean())


# Data that are made ---------------------------------------------------------------------------------


def test_first_data_are_samples_of_the_energy() -> None:
    seen: list[int] = []

    def counted(x: Tensor) -> Tensor:
        seen.append(len(x))
        return energy(x)

    x, gradients = first_data(counted, PLANE, 3.0, particles=400, draws=3, seed=0)
    assert x.shape == (3, 400, 2)
    assert gradients == sum(seen)
    assert_share(x[0])
    assert_mean_energy(x[0])
    rejected(assert_share, world(double([0.5, 0.5])).draw(Keys.of(0, 400)))
    rejected(assert_mean_energy, MEANS[0] + 1.3 * (x[0] - MEANS[0]))
    again, _ = first_data(energy, PLANE, 3.0, particles=400, draws=3, seed=0)
    assert again.equal(x)
    assert not first_data(energy, PLANE, 3.0, particles=400, draws=3, seed=1)[0].equal(x)


def test_the_latest_of_the_first_data_come_first() -> None:
    """Chains that are longer by one draw have one more row at the front."""
    short, long = (first_data(energy, PLANE, 3.0, 50, draws, seed=0)[0] for draws in (2, 3))
    torch.testing.assert_close(long[1:], short)


WRONG = double([0.3, 0.7])  # the weights of the modes, exchanged


def wrong_data(n: int = 600) -> Arrays:
    return Arrays(world(WRONG).draw(Keys.of(3, n)), {}, {"gradients": 1000, "kept": "as it is"})


def test_draws_of_a_wrong_model_mend_wrong_data() -> None:
    """Every new record has the right share of modes, although data and model agree on a wrong one."""
    data = wrong_data()
    assert isinstance(data.x, Tensor)
    rejected(assert_share, data.x)
    seen: list[int] = []

    def counted(x: Tensor) -> Tensor:
        seen.append(len(x))
        return energy(x)

    found = renewed(world(WRONG, 1.2), counted, 3.0, data, 500, seed=4)
    assert isinstance(found.x, Tensor)
    assert len(found) == 1000  # twice the draws, as the data were fewer
    assert found.x[500:].equal(data.x[:500])
    assert_share(found.x[:500])
    assert_mean_energy(found.x[:500])
    assert found.metadata["gradients"] == 1000 + sum(seen)
    assert found.metadata["kept"] == "as it is"
    assert len(found.metadata["rounds"]) == 1
    again = renewed(world(WRONG, 1.2), energy, 3.0, found, 200, seed=5)
    assert isinstance(again.x, Tensor)
    assert len(again) == 1000
    assert again.x[200:].equal(found.x[:800])  # the oldest give way
    assert len(again.metadata["rounds"]) == 2
    assert again.metadata["gradients"] > found.metadata["gradients"]
    assert json.loads(json.dumps(again.metadata)) == again.metadata


def test_draws_that_are_not_weighed_mend_nothing() -> None:
    """The broken twin: the model's own draws join its data."""
    rejected(assert_share, world(WRONG, 1.2).draw(Keys.of(4, 500)))


def test_data_stay_where_the_correction_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MCMCReport, "passed", False)
    data = wrong_data(100)
    assert isinstance(data.x, Tensor)
    found = renewed(world(), energy, 3.0, data, 50, seed=0)
    assert isinstance(found.x, Tensor)
    assert found.x.equal(data.x)
    assert found.metadata["gradients"] > 1000
    assert "NOT TO BE TRUSTED" in found.metadata["rounds"][0]


def test_the_spread_is_that_of_a_degree_of_freedom() -> None:
    x = 3 * Keys.of(0, 4000).normal(4, 2)
    assert spread(x, Euclidean((4, 2))) == pytest.approx(3, rel=0.02)
    space = Centered((4, 2))
    assert spread(space.project(x), space) == pytest.approx(3, rel=0.02)


# Runs -----------------------------------------------------------------------------------------------

CONFIG = EnergiesConfig(
    system="mine.py:wells",
    particles=200,
    draws=2,
    rounds=2,
    network=NetworkConfig(mlp=MLPConfig(32, 2, 2, 4.0)),
    train=TrainConfig(
        steps=60,
        batch_size=128,
        learning_rate=1e-2,
        warmup=5,
        ema=0.95,
        save_every=10,
        validate_every=20,
        log_every=5,
        plan=(4,),
        device="cpu",
    ),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the user's file, to work in, and a run."""
    folder = tmp_path_factory.mktemp("energies")
    (folder / "mine.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runs.train("energies", "wells", CONFIG, Path("run"))
        yield folder


@pytest.fixture(scope="module")
def model(place: Path) -> NeuralDenoiser:
    return runs.load("run")


def test_a_run_learns_the_energy(place: Path, model: NeuralDenoiser) -> None:
    names = {path.name for path in (place / "run").iterdir()}
    assert names == {"config.toml", "last.safetensors", "metrics.jsonl", "model.safetensors", "round-1.safetensors"}
    assert model.origin is not None
    assert model.origin.metadata["system"] == "mine.py:wells"
    assert_learnt(model)
    rejected(assert_learnt, runs.load(untrained(place)))
    rows = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(5, 65, 5))
    assert all(np.isfinite(row["loss"]) for row in rows)


def assert_learnt(model: NeuralDenoiser) -> None:
    """Its own draws are about as far from exact ones as a small network gets in sixty steps, by 1 or 2 threads."""
    x = requests.draw(model, task("energies").request_type(), 1000).x
    distance = sliced_wasserstein(x, world().draw(Keys.of(8, len(x))))
    assert distance < 0.3, distance


def untrained(place: Path) -> Path:
    """A broken twin: the run's weights, made so small that the network says next to nothing."""
    folder = place / "untrained"
    folder.mkdir()
    tensors, meta = checkpoints.load(place / "run" / "model.safetensors", "model")
    weights = {name: 0.01 * value for name, value in tensors.items()}
    checkpoints.save(folder / "model.safetensors", "model", weights, {**meta, "untrained": True})
    return folder


def test_later_rounds_train_on_corrected_draws(place: Path) -> None:
    tensors, meta = checkpoints.load(place / "run" / "round-1.safetensors", "data")
    assert len(tensors["x"]) == 400
    assert_share(tensors["x"][:200])
    _, whole = checkpoints.load(place / "run" / "model.safetensors", "model")
    assert whole["data"] == meta["facts"]
    assert whole["data"]["gradients"] > whole["facts"]["gradients"] > 10_000
    said = whole["data"]["rounds"][0]  # which of the two it is depends on how well the network of this machine is
    assert said.startswith(("by weights: ESS", "from draws and the search: ESS")), said


@pytest.mark.parametrize("stop", [30, 47])
def test_an_interrupted_run_resumes_bit_for_bit(place: Path, stop: int) -> None:
    """Stopped between the two rounds, before the data are renewed, and within the second."""
    folder = Path(f"stopped-{stop}")

    def progress(row: dict[str, Any]) -> None:
        if row["step"] == stop:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        runs.train("energies", "wells", CONFIG, folder, progress=progress)
    assert (folder / "round-1.safetensors").exists() == (stop > 30)
    runs.train("energies", "wells", CONFIG, folder, resume=True)
    assert_same_run(place / "run", folder)
    rejected(assert_same_run, place / "run", altered(folder))


@pytest.mark.usefixtures("place")
def test_rounds_share_minutes() -> None:
    """Two rounds of 1.2 seconds; stopped in the second and resumed there with the data and the time that are left."""
    config = replace(CONFIG, train=replace(CONFIG.train, minutes=0.04, log_every=1))
    folder, stop = Path("timed"), Event()

    def progress(row: dict[str, Any]) -> None:
        if row["minutes"] > 0.025:
            stop.set()

    with pytest.raises(Interrupted, match=r"of 0.04 minutes, saved in timed"):
        runs.train("energies", "wells", config, folder, progress=progress, stop=stop)
    renewed = (folder / "round-1.safetensors").read_bytes()
    runs.train("energies", "wells", config, folder, resume=True)
    assert (folder / "round-1.safetensors").read_bytes() == renewed
    minutes = [row["minutes"] for row in read_metrics(folder / "metrics.jsonl")]
    assert sum(m <= 0.02 for m in minutes) > 3
    assert sum(m > 0.02 for m in minutes) > 3
    assert minutes == sorted(minutes)
    assert 0.04 <= minutes[-1] < 0.06
    assert checkpoints.load(folder / "model.safetensors", "model")[1]["data"]["rounds"]


def assert_same_run(a: Path, b: Path) -> None:
    for name, kind in (("last", "training"), ("model", "model"), ("round-1", "data")):
        ours, theirs = (checkpoints.load(folder / f"{name}.safetensors", kind) for folder in (a, b))
        assert ours[1] == theirs[1]
        assert ours[0].keys() == theirs[0].keys()
        assert all(ours[0][key].equal(theirs[0][key]) for key in ours[0])


def altered(folder: Path) -> Path:
    """The run with the last bit of one weight changed."""
    path = folder / "model.safetensors"
    tensors, meta = checkpoints.load(path, "model")
    name = next(iter(tensors))
    tensors[name] = torch.nextafter(tensors[name], torch.tensor(torch.inf))
    checkpoints.save(path, "model", tensors, {key: value for key, value in meta.items() if key != "kind"})
    return folder


@pytest.mark.usefixtures("place")
def test_an_energy_network_trains_and_proposes() -> None:
    config = replace(CONFIG, belief="energy", rounds=1, train=replace(CONFIG.train, steps=30))
    runs.train("energies", "wells", config, Path("energetic"))
    drawn = requests.draw(runs.load("energetic"), task("energies").request_type(), 100, steps=10, exact="mcmc")
    assert drawn.exactness.passed, drawn.exactness
    assert_share(drawn.x)


@pytest.mark.usefixtures("place")
def test_samples_are_exact_saved_read_and_scored(model: NeuralDenoiser) -> None:
    drawn = requests.draw(model, task("energies").request_type(), 400, exact="mcmc", seed=2)
    found = drawn.exactness
    assert found.passed, found
    assert found.log_evidence == pytest.approx(LOG_Z, abs=4 * found.error)
    assert_share(drawn.x)
    assert_mean_energy(drawn.x)
    folder = drawn.save("drawn")
    read = read_samples(folder)
    assert read.x.equal(drawn.x)
    assert read.exactness == found
    assert read.settings == json.loads(json.dumps(dict(drawn.settings)))
    metrics = {score.name: score for score in runs.evaluate(folder)}
    assert metrics.keys() == {"virial", "mean energy", "shares of modes", "log Z"}
    assert metrics["log Z"].value == found.log_evidence
    assert metrics["log Z"].reference == pytest.approx(LOG_Z)
    assert metrics["virial"].value == pytest.approx(2, abs=0.5)
    assert metrics["shares of modes"].value < 0.1
    assert latest_metrics(folder) == list(metrics.values())


@pytest.mark.usefixtures("place")
def test_plain_draws_say_nothing_of_log_z(model: NeuralDenoiser) -> None:
    folder = requests.draw(model, task("energies").request_type(), 20).save("plain")
    assert json.loads((folder / "manifest.json").read_text())["exactness"] is None
    assert [score.name for score in runs.evaluate(folder)] == ["virial", "mean energy", "shares of modes"]


# The command line -------------------------------------------------------------------------------------


def test_the_command_line_draws_exact_samples(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "run", "--n", "100", "--exact", "mcmc", "--seed", "3", "--out", "exact"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    folder = place / "exact"
    assert {path.name for path in folder.iterdir()} == {"samples.npz", "manifest.json", "figure-0.svg", "figure-1.svg"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["exactness"]["passed"] is True
    assert manifest["exactness"]["verdict"] in printed
    assert manifest["settings"]["particles"] == 400
    assert manifest["files"]["samples.npz"] == sha256(folder / "samples.npz")
    with np.load(folder / "samples.npz") as arrays:
        x, energies = (torch.from_numpy(arrays[name]) for name in ("x", "energy"))
    assert x.shape == (100, 2)
    torch.testing.assert_close(energies, energy(x.double()))
    assert main(["evaluate", "exact"]) == 0
    assert main(["sample", "run", "--n", "100", "--exact", "mcmc", "--seed", "3", "--out", "twice"]) == 0
    with np.load(place / "twice" / "samples.npz") as arrays:
        assert torch.from_numpy(arrays["x"]).equal(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "run", "--exact", "mcmc", "--n", "10", "--particles", "1"], "particles is 1"),
        (["sample", "run", "--exact", "mcmc", "--batch-size", "5"], "batch_size is for independent samples"),
        (["sample", "run", "--exact", "mcmc", "--eta", "0"], "eta is for independent samples"),
        (["sample", "run", "--exact", "mcmc", "--steps", "0"], "steps is 0, expected a number in [1, 1e6]"),
        (["train", "energies", "--system", "mine.py:well"], "mine.py: has no 'well', did you mean 'wells'?"),
        (["train", "energies", "--system", "mine.py:number"], "mine.py: number is a int, expected a System"),
        (["train", "energies", "--system", "mine.py:flat"], "mine.py:flat: the energy is not differentiable by torch"),
        (["train", "energies", "--system", "mine.py:nowhere"], "mine.py:nowhere: the energy is NaN at each of 5"),
        (["train", "energies", "--system", "absent.py:wells"], "absent.py: no such Python file"),
        (["train", "energies", "--system", "gmm40"], "gmm40: no such system"),
        (["train", "energies", "--particles", "10"], "particles is 10, expected a number in [100, inf)"),
        (["train", "energies", "--rounds", "0"], "rounds is 0, expected a number in [1, inf)"),
    ],
)
def test_bad_input_ends_in_exit_code_2_and_writes_nothing(
    place: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    code: object = None
    try:
        code = main([*arguments, "--out", "out"])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", "").split())
    assert sorted(place.rglob("*")) == before


@pytest.mark.usefixtures("place")
def test_another_system_does_not_resume() -> None:
    other = replace(CONFIG, rounds=3)
    with pytest.raises(InputError, match="rounds = 2, now 3"):
        runs.train("energies", "wells", other, Path("run"), resume=True)
    assert to_dict(CONFIG)["rounds"] == 2

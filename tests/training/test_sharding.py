"""Two processes that each keep a part of every weight train as one that keeps them all, and their checkpoints agree."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh

import sharded_training
from launching import two_workers
from molecular_training import TOGETHER, molecular
from ornstein import Euclidean, Traits
from ornstein.denoisers.energy import EnergyDenoiser
from ornstein.errors import InputError
from ornstein.networks import MLP, MLPConfig
from ornstein.training import checkpoints, sharding
from ornstein.training.metrics import read_metrics
from ornstein.training.trainer import Trainer
from sharded_training import BAD, DDP, FSDP, HALF, ONE, layered, networks, resumed
from small_training import Dense, data, losses


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings of the program, and those by one process."""
    folder = tmp_path_factory.mktemp("shared")
    layered(folder / "one", ONE).fit()
    layered(folder / "one-then-fsdp", ONE).fit(HALF)
    two_workers(sharded_training.__file__, str(folder))
    resumed(folder / "fsdp-then-one", ONE)
    return folder


def seen(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in (0, 1)]


def assert_agree(folder: Path, name: str) -> None:
    """Losses, norms, validation losses and all that is saved are those of the training by one process."""
    rows, expected = (read_metrics(folder / each / "metrics.jsonl") for each in (name, "one"))
    assert [row["step"] for row in rows] == list(range(1, 21))
    for column in ("loss", "gradient_norm", "validation"):
        ours, theirs = ([row[column] for row in each if column in row] for each in (rows, expected))
        assert ours == pytest.approx(theirs, rel=1e-5)
    for file, kind in (("last.safetensors", "training"), ("model.safetensors", "model")):
        (tensors, _), (like, _) = (checkpoints.load(folder / each / file, kind) for each in (name, "one"))
        assert tensors.keys() == like.keys()
        for key, value in like.items():
            torch.testing.assert_close(tensors[key], value, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", ["fsdp", "one-then-fsdp", "fsdp-then-one", "ddp-then-fsdp", "fsdp-then-ddp"])
def test_processes_that_share_the_weights_train_as_one(folder: Path, name: str) -> None:
    assert_agree(folder, name)


def test_weights_that_a_batch_does_not_use_may_be_shared(folder: Path, tmp_path: Path) -> None:
    """Molecules; half of the batches leave out the weights of what was believed."""
    run = molecular(tmp_path, TOGETHER)
    assert {run.feed.training(step).recall for step in range(TOGETHER.steps)} == {False, True}
    run.fit()
    one, two = (losses(each) for each in (tmp_path, folder / "molecules"))
    assert [step for step, _ in one] == [step for step, _ in two]
    assert [loss for _, loss in one] == pytest.approx([loss for _, loss in two], rel=1e-4)


def test_clipping_by_the_norm_of_a_part_is_seen(folder: Path) -> None:
    """The broken twin of the test above."""
    norms = [row["gradient_norm"] for row in read_metrics(folder / "one" / "metrics.jsonl")]
    assert max(norms) > ONE.clip  # so that clipping matters
    with pytest.raises(AssertionError):
        assert_agree(folder, "clipped-locally")


def test_each_process_keeps_half(folder: Path) -> None:
    one, other = (each["sizes"] for each in seen(folder))
    assert one.keys() == {"weights", "gradients", "average", "moments"}
    for name, (own, whole) in one.items():
        assert own + other[name][0] == whole > 6000
        assert own < 0.55 * whole


def test_all_processes_stop_where_one_was_asked_to(folder: Path) -> None:
    assert [each["stopped"] for each in seen(folder)] == [10, 10]


def test_a_step_that_is_not_finite_changes_no_part(folder: Path) -> None:
    """One process meets the record; both stop at that step, with what they had before it."""
    found = [each["bad"] for each in seen(folder)]
    assert found[0]["step"] == found[1]["step"] > 0
    assert all(each["same"] for each in found)
    said = sorted(each["said"] for each in found)
    assert any(f"records {BAD} " in each for each in said)
    assert any("in another worker's part" in each for each in said)


def test_every_network_has_its_gradients_when_shared(folder: Path) -> None:
    for each in seen(folder):
        assert each["gradients"].keys() == networks().keys()
        assert max(each["gradients"].values()) < 1e-5


# Without other processes ------------------------------------------------------------------------------


def test_units_are_the_items_of_outermost_lists() -> None:
    counts = {name: len(sharding.units(network)) for name, (network, _) in networks().items()}
    assert counts == {
        "unet": 10,
        "patches": 2,
        "linear": 6,
        "perceptron": 2,
        "particles": 2,
        "transformer": 2,
        "encoder": 2,
    }
    assert sharding.units(Dense(0.1)) == []
    nested = nn.ModuleList([nn.ModuleList([nn.Linear(2, 2), nn.SiLU()]), nn.Linear(2, 2)])
    assert sharding.units(nn.Sequential(nested)) == [nested[0][0], nested[1]]  # pyright: ignore[reportIndexIssue]
    nested[1].weight = nested[0][0].weight  # pyright: ignore[reportIndexIssue]
    assert sharding.units(nn.Sequential(nested)) == []


def test_whole_tensors_stay_as_they_are() -> None:
    tensor = torch.ones(3)
    assert all(
        found is tensor for found in (sharding.whole(tensor), sharding.own(tensor), sharding.divided(tensor, tensor))
    )
    assert sharding.collected({"a": tensor}, keep=True)["a"] is tensor
    assert sharding.collected({"a": tensor}, keep=False) == {}


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Any]:
    """That of a group of one process."""
    distributed.init_process_group("gloo", f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,), mesh_dim_names=("data_parallel",))
    distributed.destroy_process_group()


def test_a_shared_network_computes_and_saves_what_it_did(mesh: Any, tmp_path: Path) -> None:
    network, inputs = networks()["perceptron"]
    before, path = {name: value.clone() for name, value in network.state_dict().items()}, tmp_path / "network"
    expected = network(*inputs)
    sharding._shard(network, mesh)
    assert all(sharding.own(weight) is not weight for weight in network.parameters())
    assert torch.equal(network(*inputs), expected)
    saved = sharding.collected(network.state_dict(), keep=True)
    assert all(type(value) is torch.Tensor and torch.equal(value, before[name]) for name, value in saved.items())
    checkpoints.load_into(network, {name: 2 * value for name, value in saved.items()}, path)
    assert all(torch.equal(sharding.whole(value), 2 * before[name]) for name, value in network.state_dict().items())
    with pytest.raises(InputError, match="is nan at"):
        checkpoints.load_into(network, {**saved, "last.2.bias": torch.full((4,), torch.nan)}, path)


def test_a_weight_that_cannot_be_divided_is_named() -> None:
    network = nn.Linear(2, 2)
    network.register_parameter("gain", nn.Parameter(torch.tensor(1.0)))
    with pytest.raises(InputError, match=r"fsdp, .* gain is one number .* shape \(1,\), or take ddp"):
        sharding._shard(network, mesh=None)


def test_energies_are_refused(tmp_path: Path) -> None:
    model = EnergyDenoiser(MLP(MLPConfig(4, 1), (2,)), Traits(Euclidean((2,))))
    with pytest.raises(InputError, match=r"fsdp, which does not train energies, .* take ddp"):
        Trainer(model, data(), data(), FSDP, tmp_path, {})


@pytest.mark.parametrize("config", [DDP, FSDP])
def test_a_strategy_for_several_is_refused_where_there_is_one(tmp_path: Path, config: Any) -> None:
    assert "WORLD_SIZE" not in os.environ
    with pytest.raises(InputError, match=f"train.strategy is {config.strategy}, .* torchrun, or take auto"):
        layered(tmp_path, config)

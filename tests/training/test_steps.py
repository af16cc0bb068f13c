"""A step: what is cut off a batch, what happens when nobody looks at it, and how much of it the host waits for."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from molecular_training import molecular, molecules
from ornstein.config import TrainConfig
from ornstein.errors import TrainingError
from ornstein.training.cutting import cut
from ornstein.training.trainer import losses
from small_training import CONFIG, data, trainer


def test_positions_that_no_record_has_are_cut_off() -> None:
    x0, condition = molecules(3).batch(torch.arange(3))
    short, told = cut(x0, {**condition, "properties": torch.zeros(3, 13)})
    assert isinstance(short, Mapping)
    assert {name: tuple(x.shape) for name, x in short.items()} == {"positions": (3, 8, 3), "atoms": (3, 8)}
    assert {name: tuple(x.shape) for name, x in told.items()} == {"mask": (3, 8), "properties": (3, 13)}
    assert torch.equal(short["positions"], x0["positions"][:, :8])  # pyright: ignore[reportArgumentType]
    whole = {"mask": torch.ones(3, 13, dtype=torch.bool)}
    assert cut(x0, whole)[0]["atoms"].shape == (3, 13)  # not beyond the whole length
    assert cut(x0, {"mask": whole["mask"][:, :4]})[0] is x0  # a mask of something else


def test_a_cut_batch_has_the_losses_of_the_whole(tmp_path: Path) -> None:
    run = molecular(tmp_path, replace(CONFIG, batch_size=3, apart=0.5, times="stratified"))
    records = run.feed.data
    x0, condition = records.batch(torch.arange(3))
    batch = run.feed.training(0)
    batch = replace(batch, x0=x0, condition=dict(condition), recall=True)
    short, told = cut(x0, condition)
    with torch.no_grad():
        for weight in run.network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
        one, other = (losses(run.model, each) for each in (batch, replace(batch, x0=short, condition=told)))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(one, losses(run.model, replace(batch, recall=False)), rtol=1e-3)


def test_what_is_not_finite_does_no_harm_though_nobody_looks(tmp_path: Path) -> None:
    """The error comes steps later, names the step and its record, and leaves all as it was before that step."""
    config, records = replace(CONFIG, decay="constant", times="stratified", log_every=10, save_every=50), data()
    assert isinstance(records.x, torch.Tensor)
    bad = next(step for step in range(7) if 37 in _records(config, step))
    assert bad > 0
    records.x[37] = 1e30
    run, steps = trainer(tmp_path / "run", config, records), []
    run.look_every, run.progress = 10, lambda row: steps.append(row["step"])
    with pytest.raises(TrainingError, match=rf"step {bad}: .* records 37 \(t = 0\.\d+\); nothing was updated"):
        run.fit()
    assert run.step == bad
    assert steps == list(range(1, 10))  # the step before the look
    twin = trainer(tmp_path / "twin", replace(config, steps=bad))
    twin.fit()
    for ours, theirs in ((run.network, twin.network), (run.average, twin.average)):
        assert all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items())
    moments = [each.optimizer.state_dict()["state"][0]["exp_avg"] for each in (run, twin)]
    assert torch.equal(*moments)
    run.watch.harm.zero_()  # the broken twin: who does not heed it goes on
    run.optimizer.step()
    assert not all(map(torch.equal, run.network.parameters(), twin.network.parameters()))


def _records(config: TrainConfig, step: int) -> list[int]:
    from ornstein.training.batches import record_numbers

    return record_numbers(config.seed, step, config.batch_size, 100).tolist()


def test_numbers_that_nobody_asked_for_are_the_last_known(tmp_path: Path) -> None:
    rows = []
    run = trainer(tmp_path, replace(CONFIG, steps=10, log_every=5, times="stratified"), progress=rows.append)
    run.look_every = 5
    run.fit()
    found = [row["loss"] for row in rows]
    assert found[0] == found[1] == found[3] != found[4] == found[8] != found[9]


def test_a_validation_is_of_records_of_all_sizes_always_the_same(tmp_path: Path) -> None:
    config = replace(CONFIG, validate_on=4)
    run = molecular(tmp_path, config)
    chosen = run.feed.judged
    assert run.feed.validation.sizes is not None
    assert sorted(run.feed.validation.sizes[chosen].tolist()) == [3, 5, 6, 9]
    assert torch.equal(chosen, molecular(tmp_path / "again", config).feed.judged)
    assert run.validate() == run.validate()
    assert len(molecular(tmp_path / "all", replace(config, validate_on=0)).feed.judged) == 16

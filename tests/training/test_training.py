"""The trainer: bitwise resume after any crash, refusal of what is not finite, and times that keep the objective."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from launching import two_workers
from molecular_training import TOGETHER, molecular
from ornstein import InputError
from ornstein.config import TrainConfig
from ornstein.errors import Interrupted, TrainingError
from ornstein.keys import Keys
from ornstein.training import checkpoints
from ornstein.training.batches import NoiseTimes, hide, learning_rate, record_numbers
from small_training import CONFIG, assert_same_run, data, losses, trainer

CHILD = Path(__file__).parents[1] / "small_training.py"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert child(folder).wait() == 0
    return folder


def child(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_resume_after_kill_at_random_moments_is_bitwise(uninterrupted: Path, tmp_path: Path) -> None:
    pick, kills = random.Random(0), 0
    for _ in range(3):
        process = child(tmp_path, "--pause", "0.05")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pick.uniform(0.2, 0.9))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills == 3, "the run finished before it could be killed"
    assert child(tmp_path).wait() == 0
    assert_same_run(uninterrupted, tmp_path)


@pytest.mark.parametrize("flush", [1, 4, 6, 7, 31])  # before and after renames; 31 is between the last two files
def test_resume_after_kill_during_a_checkpoint_is_bitwise(uninterrupted: Path, tmp_path: Path, flush: int) -> None:
    assert child(tmp_path, "--die-at", str(flush)).wait() == -signal.SIGKILL
    for path in tmp_path.glob("*.safetensors"):
        checkpoints.load(path, "training" if path.name == "last.safetensors" else "model")
    assert child(tmp_path).wait() == 0
    assert_same_run(uninterrupted, tmp_path)


def test_the_comparison_of_runs_notices_one_more_step(uninterrupted: Path, tmp_path: Path) -> None:
    """The broken twin of the two tests above."""
    run = trainer(tmp_path, replace(CONFIG, seed=1))
    run.fit()
    with pytest.raises(AssertionError):
        assert_same_run(uninterrupted, tmp_path)


def test_sigterm_finishes_the_step_and_saves(tmp_path: Path) -> None:
    def stop(row: dict[str, float]) -> None:
        if row["step"] == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="step 7 of 40"):
        trainer(tmp_path, progress=stop).fit()
    assert checkpoints.load(tmp_path / "last.safetensors", "training")[1]["step"] == 7
    assert signal.getsignal(signal.SIGTERM) is before
    assert Interrupted.exit_code == 3


def test_a_second_signal_during_the_last_save_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once stops after step 7; again while that is saved, it is heard and does no harm."""
    whole = checkpoints.save

    def save(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        whole(*arguments)

    def stop(row: dict[str, float]) -> None:
        if row["step"] == 7:
            os.kill(os.getpid(), signal.SIGINT)
            monkeypatch.setattr(checkpoints, "save", save)

    with pytest.raises(Interrupted, match="step 7 of 40"):
        trainer(tmp_path, progress=stop).fit()
    assert checkpoints.load(tmp_path / "last.safetensors", "training")[1]["step"] == 7
    assert checkpoints.load(tmp_path / "model.safetensors", "model")[1]["step"] == 7


def test_cancel_from_another_thread_and_from_a_callback(uninterrupted: Path, tmp_path: Path) -> None:
    """Stopped by a thread, then by a callback within a thread, it is still the uninterrupted run bit for bit."""
    reached = threading.Event()

    def wait(row: dict[str, float]) -> None:
        if row["step"] == 3:
            reached.set()
            canceller.join()

    run = trainer(tmp_path, progress=wait)
    canceller = threading.Thread(target=lambda: (reached.wait(), run.cancel()))
    canceller.start()
    with pytest.raises(Interrupted, match="step 3 of 40"):
        run.fit()

    again = trainer(tmp_path, progress=lambda row: again.cancel() if row["step"] == 8 else None)
    again.resume()
    with ThreadPoolExecutor(1) as pool, pytest.raises(Interrupted, match="step 8 of 40"):
        pool.submit(again.fit).result()
    again.fit()  # the request was answered
    assert_same_run(uninterrupted, tmp_path)


def test_training_learns(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(CONFIG, steps=200, save_every=200))
    start = run.validate()
    run.fit()
    assert run.validate() < 0.8 * start


def test_a_record_that_is_not_finite_stops_before_the_update(tmp_path: Path) -> None:
    """NaN is no clean data; 1e30 is, but has no finite loss."""
    constant = replace(CONFIG, decay="constant")
    for value, error, message in (
        (torch.nan, InputError, r"training data: record 37, element \(0,\) is nan, .* it was not used"),
        (1e30, TrainingError, r"step \d+: .* records 37 \(t = 0\.\d+\); nothing was updated"),
    ):
        records = data()
        assert isinstance(records.x, torch.Tensor)
        records.x[37] = value
        run = trainer(tmp_path / f"run-{value}", constant, records)
        with pytest.raises(error, match=message):
            run.fit()
        assert 0 < run.step < 100 / 16  # the first epoch meets every record
        twin = trainer(tmp_path / f"twin-{value}", replace(constant, steps=run.step))
        twin.fit()
        after, expected = run.network.state_dict(), twin.network.state_dict()
        assert all(torch.equal(expected[name], after[name]) for name in after)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_further_signals_during_the_last_save_lose_nothing(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, save_every=100)
    run = trainer(tmp_path, config, progress=lambda row: row["step"] == 7 and os.kill(os.getpid(), number))
    save = run.save

    def impatient() -> None:
        os.kill(os.getpid(), number)
        save()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run, "save", impatient)
    with pytest.raises(Interrupted, match="stopped at step 7 of 40"):
        run.fit()
    assert checkpoints.load(tmp_path / "last.safetensors", "training")[1]["step"] == 7
    assert {path.name for path in tmp_path.iterdir()} >= {"last.safetensors", "model.safetensors", "metrics.jsonl"}


def test_resume_refuses_another_configuration(tmp_path: Path) -> None:
    trainer(tmp_path, replace(CONFIG, steps=5)).fit()
    with pytest.raises(InputError, match=r"train.learning_rate = 0.01, now 0.5"):
        trainer(tmp_path, replace(CONFIG, learning_rate=0.5)).resume()
    trainer(tmp_path, replace(CONFIG, steps=6)).resume()


def test_resume_refuses_what_is_no_state_of_this_training(tmp_path: Path) -> None:
    config, path = replace(CONFIG, steps=2), tmp_path / "last.safetensors"
    trainer(tmp_path, config).fit()
    tensors, meta = checkpoints.load(path, "training")
    meta = {name: value for name, value in meta.items() if name != "kind"}
    moment = "optimizer/0/exp_avg"
    for changed, header, message in (
        ({}, {"config": {}}, "field facts is not there, expected an object"),
        ({}, {**meta, "step": "2"}, "field step is '2', expected a whole number"),
        ({}, {**meta, "facts": []}, r"field facts is \[\], expected an object"),
        ({moment: tensors[moment][:1]}, meta, r"'optimizer/0/exp_avg' has shape \(1, 4\), expected"),
        ({"optimizer/99/step": torch.zeros(())}, meta, "has a tensor 'optimizer/99/step'"),
        ({"times/squares": torch.full((32,), torch.nan, dtype=torch.float64)}, meta, "'times/squares' is nan at"),
    ):
        checkpoints.save(path, "training", {**tensors, **changed}, header)
        with pytest.raises(InputError, match=message):
            trainer(tmp_path, config).resume()
    checkpoints.save(path, "training", tensors, meta)
    trainer(tmp_path, config).resume()


def test_one_training_at_a_time_in_a_folder(tmp_path: Path) -> None:
    """The second is refused while the first is at work, leaves it alone, and may begin when it is over."""
    config, refusals = replace(CONFIG, steps=3), []

    def second(row: dict[str, float]) -> None:
        with pytest.raises(InputError, match="another training is at work in this folder") as refused:
            trainer(tmp_path, config).fit()
        refusals.append(str(refused.value).startswith(str(tmp_path)))

    trainer(tmp_path, config, progress=second).fit()
    assert refusals == [True] * 3
    assert losses(tmp_path)[-1][0] == 3
    assert {path.name for path in tmp_path.iterdir()} == {"last.safetensors", "metrics.jsonl", "model.safetensors"}
    trainer(tmp_path, config).fit()


def test_metrics_are_rows_of_json(uninterrupted: Path) -> None:
    rows = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert {"loss", "learning_rate", "gradient_norm", "steps_per_second"} <= rows[0].keys()
    assert sum("validation" in row for row in rows) == 4


def test_every_epoch_is_a_permutation() -> None:
    numbers = torch.cat([record_numbers(3, step, 6, 10) for step in range(5)])
    assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in numbers.reshape(3, 10))
    assert len({tuple(epoch.tolist()) for epoch in numbers.reshape(3, 10)}) == 3


def test_learning_rate_warms_up_and_decays() -> None:
    config = TrainConfig(steps=100, warmup=10, learning_rate=1.0)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 50) == pytest.approx(0.5)
    assert learning_rate(replace(config, decay="constant"), 99) == 1.0


@pytest.mark.parametrize("times", ["uniform", "stratified", "importance"])
def test_weighted_times_keep_the_objective(times: str) -> None:
    """E[weight · f(t)] = ∫ f for every way of drawing t."""
    drawn = NoiseTimes(TrainConfig(batch_size=2000, times=times, min_time=1e-6))  # pyright: ignore[reportArgumentType]
    drawn.squares[:] = torch.linspace(0.1, 3, 32) ** 2
    pairs = [drawn.draw(step) for step in range(20)]
    t, weight = (torch.cat(parts).double() for parts in zip(*pairs, strict=True))
    for power in (0, 1, 3):
        assert abs((weight * t**power).mean() - 1 / (power + 1)) < 0.01
    if times == "importance":  # the broken twin: without its weight the density is visible
        assert abs((t**3).mean() - 1 / 4) > 0.05


def test_stratified_times_are_evenly_spread() -> None:
    def spread(times: str) -> float:
        t = NoiseTimes(TrainConfig(batch_size=64, times=times)).draw(0)[0]  # pyright: ignore[reportArgumentType]
        return (t.sort().values - (torch.arange(64) + 0.5) / 64).abs().max().item()

    assert spread("stratified") < 1 / 64 < spread("uniform")


def test_importance_follows_the_loss() -> None:
    times = NoiseTimes(TrainConfig(times="importance", batch_size=512))
    for step in range(300):
        t, _ = times.draw(step)
        times.observe(t, 10.0 * (t > 0.5))
    assert (times.draw(999)[0] > 0.5).float().mean() > 0.8


def test_conditions_are_hidden_at_the_asked_rate() -> None:
    condition = {"label": torch.ones(4000, dtype=torch.long), "mask": torch.ones(4000, dtype=torch.bool)}
    hidden = hide(condition, {"label": torch.tensor(-1)}, 0.25, Keys.of(0, 4000))
    assert (hidden["label"] == -1).float().mean() == pytest.approx(0.25, abs=0.02)
    assert hidden["mask"].all()


def test_two_workers_train_as_one(tmp_path: Path) -> None:
    """torchrun with two processes: the same batches, times and noise, so the same run up to round-off."""
    options = ["--dropout", "0"]  # its draws are a worker's own
    two_workers(str(CHILD), str(tmp_path / "two"), *options)
    assert child(tmp_path / "one", *options).wait() == 0
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [step for step, _ in one] == [step for step, _ in two]
    assert [loss for _, loss in one] == pytest.approx([loss for _, loss in two], rel=1e-4)


@pytest.mark.slow
def test_two_workers_share_a_network_of_which_batches_use_parts(tmp_path: Path) -> None:
    """Molecules at times of their own; batches with and without what was believed, which has weights of its own."""
    run = molecular(tmp_path / "one", TOGETHER)
    assert {run.feed.training(step).recall for step in range(TOGETHER.steps)} == {False, True}
    run.fit()
    two_workers(str(CHILD.with_name("molecular_training.py")), str(tmp_path / "two"))
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [step for step, _ in one] == [step for step, _ in two]
    assert [loss for _, loss in one] == pytest.approx([loss for _, loss in two], rel=1e-4)
    ours, theirs = (checkpoints.load(tmp_path / name / "last.safetensors", "training")[0] for name in ("one", "two"))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-2, atol=1e-4) for name in ours)


# What a step does, by hand ----------------------------------------------------------------------------


def test_the_average_follows_the_weights_with_a_growing_decay(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(CONFIG, ema=0.2))
    mean = {name: value.clone() for name, value in run.network.state_dict().items()}
    for step in (1, 2, 3):
        run._update()
        decay = min(0.2, (1 + step) / (10 + step))
        now = run.network.state_dict()
        mean = {name: decay * mean[name] + (1 - decay) * now[name] for name in mean}
        assert any(not torch.equal(mean[name], now[name]) for name in mean)
    assert all(torch.allclose(run.average.state_dict()[name], mean[name], atol=1e-6) for name in mean)


def test_models_and_validation_use_the_average(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(CONFIG, steps=12))
    run.fit()
    saved, _ = checkpoints.load(tmp_path / "model.safetensors", "model")
    assert all(torch.equal(saved[name], value) for name, value in run.average.state_dict().items())
    assert any(not torch.equal(saved[name], value) for name, value in run.network.state_dict().items())
    before = run.validate()
    with torch.no_grad():
        for parameter in run.network.parameters():
            parameter.zero_()
    assert run.validate() == before


def test_clipping_bounds_the_gradient(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(CONFIG, clip=1e-3))
    assert run._update()["gradient_norm"] > 1e-3  # what is reported is the norm before
    gradients = torch.cat([p.grad.flatten() for p in run.network.parameters() if p.grad is not None])
    assert gradients.norm() <= 1.001e-3


def test_weight_decay_shrinks(tmp_path: Path) -> None:
    def size(decay: float) -> float:
        run = trainer(tmp_path, replace(CONFIG, weight_decay=decay, warmup=0))
        run._update()
        return sum(p.detach().norm().item() for p in run.network.parameters())

    assert size(10.0) < 0.95 * size(0.0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_trainer_hides_conditions(tmp_path: Path, rate: float) -> None:
    run = trainer(tmp_path, replace(CONFIG, condition_dropout=rate))
    hidden = run.feed.training(run.step).condition["label"] == -1
    assert hidden.all() if rate else not hidden.any()


def test_a_finished_run_without_its_model_gets_it_back(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=5)
    trainer(tmp_path, config).fit()
    (tmp_path / "model.safetensors").unlink()
    run = trainer(tmp_path, config)
    run.resume()
    run.fit()
    assert checkpoints.load(tmp_path / "model.safetensors", "model")[1]["step"] == 5


def test_batches_hold_records_of_like_size_and_every_epoch_is_a_permutation() -> None:
    sizes = Keys.of(5, 1).uniform(1000)[0].mul(20).long() + 3
    numbers = torch.stack([record_numbers(3, step, 8, 1000, sizes) for step in range(125)])
    assert numbers.flatten().sort().values.tolist() == list(range(1000))
    spread = (sizes[numbers].max(1).values - sizes[numbers].min(1).values).double().mean()
    assert spread < 4  # of 20, where records in any order have 16
    assert (sizes[numbers].double().mean(1).diff() > 0).double().mean() < 0.7  # sizes do not grow within a window


def test_buckets_line_up_with_batches_that_run_on_across_epochs() -> None:
    sizes = torch.arange(10)
    numbers = torch.cat([record_numbers(3, step, 4, 10, sizes) for step in range(5)])
    assert all(numbers[k : k + 10].sort().values.tolist() == list(range(10)) for k in (0, 10))

"""The trainer learns from fields in files, and resumes bit for bit, whatever the memory and threads, within a bound."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from field_files import world, written
from ornstein import Euclidean, InputError, NeuralDenoiser, Traits
from ornstein.config import TrainConfig, to_dict
from ornstein.networks import Fields, UNet, UNetConfig
from ornstein.training import checking
from ornstein.training.fields import Layout, measured, open_fields
from ornstein.training.trainer import Trainer
from small_training import assert_same_run

CONFIG = TrainConfig(steps=4, batch_size=4, warmup=2, validate_every=4, save_every=9, log_every=1)
NETWORK = UNetConfig(channels=4, multipliers=(1,), blocks=1, attention=())


def trainer(files: Path, folder: Path, bound: int, threads: int) -> Trainer:
    """On states with holes."""
    layout = Layout(["t", "wind"], conditions={"forecast": "forecast"}, missing="mask")
    data = open_fields(files / "*.nc", layout, bound=bound, threads=threads)
    train, validation = data.split(0.75, 0.25)
    known = measured(train, files / "statistics.safetensors")
    train, validation = known.standardised(train), known.standardised(validation)
    fields = Fields(len(train.channels), conditions={"forecast": 2}, mask=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(NETWORK, fields)
    denoiser = NeuralDenoiser(network, Traits(Euclidean(train.shape)), fields.unconditional)
    meta = {"domain": "tests", "name": "fields", "config": {"train": to_dict(CONFIG)}, "facts": train.metadata}
    checking.check_ahead(denoiser.space, train, "training data")
    return Trainer(denoiser, train, validation, CONFIG, folder, meta)


def test_it_trains_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    for k in range(2):
        whole = world(12, f"2000-01-{1 + 3 * k:02}", k, 8, 8)
        whole["t"][3, 0, 2:4] = np.nan
        written(whole, tmp_path, "netcdf4", f"{k}", chunks=5)
    straight = trainer(tmp_path, tmp_path / "straight", 1_000_000, 4)
    straight.fit()
    first = trainer(tmp_path, tmp_path / "resumed", 20_000, 1)
    first.fit(Fraction(1, 2))
    second = trainer(tmp_path, tmp_path / "resumed", 40_000, 2)
    second.resume()
    second.fit()
    assert second.step == 4
    assert_same_run(tmp_path / "straight", tmp_path / "resumed")


def test_a_bad_record_stops_the_training_and_names_the_file(tmp_path: Path) -> None:
    whole = world(12, height=8, width=8)
    whole["wind"][5, 0, 0] = np.inf
    written(whole, tmp_path, "netcdf4")
    with pytest.raises(InputError, match=r"era.nc: variable 'wind': record 5, time 2000-01-02T06:00:00: wind is inf"):
        trainer(tmp_path, tmp_path / "run", 1_000_000, 1)


PROGRAM = """
import sys, torch
from pathlib import Path
from ornstein.training.fields import Layout, measured, open_fields

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

path, bound, whole = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
small = open_fields(path.with_name("small" + path.suffix), Layout(["x"], records=["n"], dims={"x": ["n", "y", "x"]}))
measured(small), small.batch(torch.arange(4))
Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
before = status("VmRSS")
data = open_fields(path, Layout(["x"], records=["n"], dims={"x": ["n", "y", "x"]}), bound=bound)
measured(data)
order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
for part in order.split(4):
    data.batch(part)
if whole:
    kept = [data.batch(part) for part in order.split(4)]
print(status("VmHWM") - before, data.source.blocks.reads)
"""


def grown(path: Path, bound: int, whole: bool = False) -> int:
    """By how many bytes the memory of a process grows that reads a file."""
    command = [sys.executable, "-c", PROGRAM, str(path), str(bound), str(int(whole))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["npy", "h5", "nc", "zarr"])
def test_memory_is_bounded(tmp_path: Path, kind: str) -> None:
    """A file of 300 MB is read, measured and shuffled within a bound of 30 MB and the pieces that are measured."""
    for name, records in (("small", 16), ("large", 300)):
        _write(tmp_path / f"{name}.{kind}", records)
    limit = 200_000_000
    assert grown(tmp_path / f"large.{kind}", 30_000_000) < limit
    if kind == "npy":  # the twin, which keeps what it reads
        assert grown(tmp_path / f"large.{kind}", 30_000_000, whole=True) > 1.5 * limit


def _write(path: Path, records: int) -> None:
    """(records, 512, 512) float32, a megabyte a record."""
    import h5py
    import zarr
    from scipy.io import netcdf_file

    shape, rng = (records, 512, 512), np.random.default_rng(0)
    if path.suffix == ".npy":
        array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    elif path.suffix == ".h5":
        array = h5py.File(path, "w").create_dataset("x", shape, "f4", chunks=(4, 128, 512))
    elif path.suffix == ".nc":
        file = netcdf_file(str(path), "w", mmap=False)
        for name, size in zip(("n", "y", "x"), shape, strict=True):
            file.createDimension(name, size)
        array = file.createVariable("x", "f4", ("n", "y", "x"))
    else:
        group = zarr.open_group(str(path), mode="w")
        array = group.create_array("x", shape=shape, chunks=(4, 256, 512), dtype="f4")
    for k in range(records):
        array[k] = rng.normal(size=shape[1:]).astype("f4")
    if path.suffix == ".nc":
        file.close()  # pyright: ignore[reportPossiblyUnboundVariable]
    if path.suffix == ".h5":
        array.file.close()  # pyright: ignore[reportAttributeAccessIssue]

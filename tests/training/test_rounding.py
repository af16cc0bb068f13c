"""Weights in 8 bits: no number is off by more than half a step of its row, and a damaged file is refused in words."""

from pathlib import Path

import pytest
import torch

from ornstein import InputError
from ornstein.training import checkpoints
from ornstein.training.rounding import LEAST, expanded, rounded
from worlds import rejected

HERE = Path("model.safetensors")
SPREAD = torch.logspace(-6, 3, 64)[:, None]  # rows of very different sizes
TENSORS = {
    "dense": SPREAD * torch.randn(64, 100, generator=torch.Generator().manual_seed(0)),
    "kernel": torch.linspace(-1, 1, 2 * LEAST).view(8, 4, -1, 16),
    "none": torch.zeros(64, 64),
    "bias": torch.linspace(0, 1, LEAST),
    "counts": torch.arange(3),
}


def _off(tensors: dict[str, torch.Tensor]) -> None:
    for name, whole in expanded(tensors, HERE).items():
        rows = TENSORS[name].double().view(len(TENSORS[name]), -1)
        step = rows.abs().amax(1) / 127
        assert ((whole.double().view_as(rows) - rows).abs().amax(1) <= 0.5001 * step).all(), name


def test_no_number_is_off_by_more_than_half_a_step_of_its_row() -> None:
    _off({name: tensor for name, tensor in rounded(TENSORS).items() if name.split("#")[0] not in ("bias", "counts")})
    one = TENSORS["dense"].abs().max() / 127  # the twin: one scale for all rows
    twin = {"dense": (TENSORS["dense"] / one).round().to(torch.int8), "dense#scale": one.expand(64)}
    rejected(_off, twin)


def test_what_is_small_or_whole_stays() -> None:
    found = rounded(TENSORS)
    assert found["dense"].dtype == found["none"].dtype == torch.int8
    assert (found["bias"].dtype, found["counts"].dtype) == (torch.float16, torch.int64)
    assert expanded(found, HERE).keys() == TENSORS.keys()
    assert not expanded(found, HERE)["none"].any()


def test_a_file_of_rounded_weights_is_read_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / HERE
    checkpoints.save(path, "model", rounded(TENSORS), {})
    whole = checkpoints.load(path, "model")[0]
    assert torch.equal(whole["dense"], expanded(rounded(TENSORS), HERE)["dense"])
    assert path.stat().st_size < 0.4 * sum(tensor.numel() for tensor in TENSORS.values()) * 4


@pytest.mark.parametrize(
    "damaged",
    [
        {"w#scale": torch.ones(3)},
        {"w": torch.zeros(3, 2), "w#scale": torch.ones(3)},
        {"w": torch.zeros(3, 2, dtype=torch.int8), "w#scale": torch.ones(2)},
        {"w": torch.zeros(3, 2, dtype=torch.int8), "w#scale": torch.ones(3, dtype=torch.int64)},
    ],
)
def test_a_scale_that_fits_no_tensor_is_refused(damaged: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match=r"w#scale.*expected float32, one scale a row of an int8 tensor"):
        expanded(damaged, HERE)

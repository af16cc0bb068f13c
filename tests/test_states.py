"""States are tensors or dictionaries of them, and what lines up with them lines up from the left."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ornstein.errors import InputError
from ornstein.states import as_time, batch_size, concatenate, leaves, left, map_state, take, to_device

STATE = {"x": torch.arange(6.0).reshape(3, 2), "inner": {"tokens": torch.arange(3)}}
shapes = st.lists(st.integers(1, 3), min_size=1, max_size=4)


@given(shapes, st.data())
def test_left_broadcasts_from_the_left(shape: list[int], data: st.DataObject) -> None:
    axes = data.draw(st.integers(0, len(shape)))
    x, t = torch.ones(shape), torch.rand(shape[:axes])
    product = left(t, x) * x
    assert product.shape == x.shape
    assert product.flatten(axes)[..., 0].equal(t) if axes < len(shape) else product.equal(t)


@pytest.mark.parametrize("shape", [(2, 3, 4), (3,), (2, 4), (2, 1, 1, 1)])
def test_what_does_not_line_up_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"of shape .* does not fit data of shape \(2, 3, 5\)"):
        left(torch.ones(shape), torch.ones(2, 3, 5))
    assert left(torch.ones(2, 1, 5), torch.ones(2, 3, 5)).shape == (2, 1, 5)


def test_floats_become_float64_without_axes() -> None:
    t = left(0.1, torch.ones(2, 3))
    assert (t.shape, t.dtype, t.item()) == ((), torch.float64, 0.1)
    assert as_time(0.1, torch.ones(2)).item() == 0.1


def test_map_keeps_the_structure() -> None:
    doubled = map_state(lambda a, b: a + b, STATE, STATE)
    assert doubled["x"].equal(2 * STATE["x"])
    assert doubled["inner"]["tokens"].tolist() == [0, 2, 4]
    assert [leaf.shape for leaf in leaves(STATE)] == [(3, 2), (3,)]


@given(st.integers(0, 3))
def test_parts_join_to_the_whole(cut: int) -> None:
    joined = concatenate([take(STATE, slice(0, cut)), take(STATE, slice(cut, 3))])
    assert all(a.equal(b) for a, b in zip(leaves(joined), leaves(STATE), strict=True))


def test_shapes_join_as_numbers_do() -> None:
    """And without PyTorch's compiler, whose import takes longer than drawing a few samples."""
    code = """
import sys, torch
from ornstein.states import concatenate
meta = {"device": "meta", "dtype": torch.float64}
parts = [{"x": torch.empty(n, 3, **meta), "k": torch.empty(n, **meta)} for n in (2, 5)]
joined = concatenate(parts)
print(joined["x"].shape, joined["x"].dtype, joined["k"].device.type, "torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "torch.Size([7, 3]) torch.float64 meta False\n"
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        concatenate([torch.empty(1, 2, device="meta"), torch.empty(1, 3, device="meta")])


def test_batch_size_is_shared() -> None:
    assert batch_size(STATE) == 3
    with pytest.raises(ValueError, match=r"share one batch size, these have \[2, 3\]"):
        batch_size({"a": torch.ones(2), "b": torch.ones(3)})


def test_devices_keep_the_structure() -> None:
    moved = to_device(STATE, "meta")
    assert all(leaf.device.type == "meta" for leaf in leaves(moved))

"""Checkpoints are whole or absent, and whatever is not one is refused with a reason."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ornstein import InputError
from ornstein.training import checkpoints
from ornstein.training.budget import Budget

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoints.save(tmp_path / "model.safetensors", "model", TENSORS, {"step": 3})
    return tmp_path / "model.safetensors"


def test_round_trip(path: Path) -> None:
    tensors, meta = checkpoints.load(path, "model")
    assert meta == {"kind": "model", "step": 3}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_a_header_of_any_length_is_read(tmp_path: Path) -> None:
    """Lengths whose first bytes are a pickle's mark among them: the length stands before the header."""
    file = tmp_path / "model.safetensors"
    for length in range(480, 560, 2):
        checkpoints.save(file, "model", TENSORS, {"pad": "p" * length})
        assert checkpoints.load(file, "model")[1]["pad"] == "p" * length


@pytest.mark.parametrize("size", [0, 5, 100, 200])
def test_truncated(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"model.safetensors: truncated or not a safetensors file"):
        checkpoints.load(path, "model")


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickle(tmp_path: Path, protocol: int) -> None:
    """A pickle that would write a file is not run."""
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self) -> tuple:
            return (trap.write_text, ("sprung",))

    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Trap(), protocol))
    with pytest.raises(InputError, match="this is a pickle"):
        checkpoints.load(path, "model")
    assert not trap.exists()


def test_torch_file(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "model.pt")
    with pytest.raises(InputError, match="this is a pickle"):
        checkpoints.load(tmp_path / "model.pt", "model")


def test_strangers(path: Path, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="not written by ornstein"):
        checkpoints.load(tmp_path / "other.safetensors", "model")
    with pytest.raises(InputError, match="a model checkpoint, expected a training checkpoint"):
        checkpoints.load(path, "training")
    with pytest.raises(InputError, match="no such checkpoint"):
        checkpoints.load(tmp_path / "absent.safetensors", "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(3, 2)}, r"tensor 'weight' has shape \(3, 2\), expected \(2, 3\)"),
        ({"extra": torch.zeros(1)}, "has a tensor 'extra' that this network does not"),
        ({"weight": None}, r"has no tensor 'weight', expected shape \(2, 3\)"),
        ({"weight": torch.full((2, 3), torch.nan)}, r"tensor 'weight' is nan at \(0, 0\), expected finite numbers"),
        ({"bias": torch.tensor([0.0, -torch.inf])}, r"tensor 'bias' is -inf at \(1,\), expected finite numbers"),
        ({"bias": torch.tensor([0.0, 1e300]).double()}, r"tensor 'bias' is 1e\+300 at \(1,\)|'bias' is inf at \(1,\)"),
        ({"bias": torch.zeros(2, dtype=torch.complex64)}, r"tensor 'bias' is torch.complex64, expected torch.float32"),
        ({"bias": torch.zeros(2, dtype=torch.int64)}, r"tensor 'bias' is torch.int64, expected torch.float32"),
    ],
)
def test_wrong_tensors(change: dict[str, torch.Tensor | None], message: str) -> None:
    tensors = {name: value for name, value in {**TENSORS, **change}.items() if value is not None}
    with pytest.raises(InputError, match=message):
        checkpoints.load_into(nn.Linear(3, 2), tensors, Path("model.safetensors"))


def test_half_precision_and_masks_of_infinity_are_taken() -> None:
    """Weights may be shipped in half precision, and a buffer that is made with −∞ may hold it."""
    module = nn.Linear(3, 2)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    tensors = {**{name: value.half() for name, value in TENSORS.items()}, "mask": torch.tensor([0.0, -torch.inf])}
    checkpoints.load_into(module, tensors, Path("model.safetensors"))
    assert torch.equal(module.weight, TENSORS["weight"])
    assert module.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", r"not valid JSON"),
        ("[" * 100_000, r"nested too deeply"),
        ("9" * 5000, r"not valid JSON"),
        ("[]", r"model.safetensors is \[\], expected an object"),
        ("{}", r"model.safetensors: field kind is not there, expected text"),
        ('{"kind": ["model"]}', r"field kind is \['model'\], expected text"),
        ('{"kind": "model"}', r"field domain is not there, expected text"),
        ('{"kind": "model", "domain": null}', r"field domain is null, expected text"),
        ('{"kind": "model", "domain": "d", "facts": []}', r"field facts is \[\], expected an object"),
        ('{"kind": "model", "domain": "d", "facts": {}, "step": true}', r"field step is True, expected a whole number"),
        ('{"kind": "model", "domain": "d", "facts": {}, "step": 2.5}', r"field step is 2.5, expected a whole number"),
    ],
)
def test_headers_that_are_none(tmp_path: Path, header: str, message: str) -> None:
    path, schema = tmp_path / "model.safetensors", {"domain": str, "facts": dict, "step?": int}
    save_file(TENSORS, path, {"ornstein": header})
    with pytest.raises(InputError, match=message):
        checkpoints.load(path, "model", schema)
    checkpoints.save(path, "model", TENSORS, {"domain": "d", "facts": {"any": [1]}, "step": None, "more": 1})
    assert checkpoints.load(path, "model", schema)[1]["more"] == 1


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, "to_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(path, "model", TENSORS, {"step": 4})
    assert checkpoints.load(path, "model")[1]["step"] == 3
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Embedding(10**9, 512),
        lambda: nn.Linear(10**6, 10**6),
        lambda: torch.arange(10**10),
        lambda: torch.zeros(size=(10**9, 9)),
        lambda: [nn.Linear(1000, 1000) for _ in range(20)],
    ],
)
def test_a_budget_is_kept_before_memory_is_taken(make: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="f: describes a network of more than 10000000 numbers"), Budget(10**7, "f"):
        make()
    with Budget(10**7, "f"):
        nn.Linear(1000, 1000)

"""A transformer sees what it should, and nothing else: backwards along its order, or all that exists."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.denoisers.base import NeuralDenoiser, Traits
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.networks import Transformer, TransformerConfig
from ornstein.spaces import Autoregressive
from worlds import rejected

LENGTH, STATES, SIZE = 7, 5, 4
POSITIONS = ("rotary", "learned")
every_position = pytest.mark.parametrize("positions", POSITIONS)


def network(positions: Any = "rotary", **options: Any) -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerConfig(16, 2, 2, positions=positions), 2 * LENGTH, STATES, SIZE, **options).eval()


def tokens(seed: int, n: int = 3, length: int = LENGTH) -> Tensor:
    return (Keys.of(seed, n).uniform(length) * SIZE).long()


@torch.no_grad()
def logits(model: Transformer, x: Tensor, start: int = 0, t: float = 0.5, **condition: Tensor) -> Tensor:
    start_of_each = {"start": torch.full((len(x),), start)} if model.causal else {}
    return model(x, torch.full((len(x),), t), {**start_of_each, **condition})


def differ(a: Tensor, b: Tensor) -> Tensor:
    """Where logits are not the same, (positions,)."""
    return ((a - b).abs() > 1e-5).any(-1).any(0)


def influence(model: Transformer, start: int = 0) -> Tensor:
    """influence[i, j]: whether the logits at j change with the token at i."""
    x = tokens(1)
    base = logits(model, x, start)
    rows = []
    for place in range(LENGTH):
        other = x.clone()
        other[:, place] = (other[:, place] + 1) % SIZE
        rows.append(differ(base, logits(model, other, start)))
    return torch.stack(rows)


# What is seen --------------------------------------------------------------------------------------------


def assert_looks_back(model: Transformer, start: int, order: Tensor) -> None:
    """Each token matters to those after it in the order, and to no other."""
    rank = order.argsort()
    assert influence(model, start).equal(rank[:, None] < rank)


@every_position
@pytest.mark.parametrize("start", range(LENGTH))
def test_a_causal_network_sees_what_is_earlier_in_its_order(start: int, positions: str) -> None:
    order = (torch.arange(LENGTH) + start) % LENGTH
    assert_looks_back(network(positions, causal=True), start, order)
    rejected(assert_looks_back, network(positions, causal=True), start, order.roll(1))
    rejected(assert_looks_back, network(positions), start, order)


@every_position
def test_a_full_network_sees_everything(positions: str) -> None:
    assert influence(network(positions)).all()


@every_position
def test_each_sample_has_its_own_order(positions: str) -> None:
    model, x = network(positions, causal=True), tokens(1)
    starts = torch.tensor([0, 3, 5])
    found = logits(model, x, start=0)
    with torch.no_grad():
        mixed = model(x, torch.full((3,), 0.5), {"start": starts})
    torch.testing.assert_close(mixed[:1], found[:1], atol=1e-5, rtol=1e-5)
    for i, start in enumerate(starts.tolist()):
        torch.testing.assert_close(mixed[i : i + 1], logits(model, x[i : i + 1], start), atol=1e-5, rtol=1e-5)


def test_another_start_is_the_rolled_sequence_up_to_its_end() -> None:
    """Distances alone are seen, and they are the same until the order goes round."""
    model, x = network(causal=True), tokens(2)
    for start in range(LENGTH):
        found, rolled = logits(model, x, start)[:, start:], logits(model, x.roll(-start, 1))[:, : LENGTH - start]
        torch.testing.assert_close(found, rolled, atol=1e-5, rtol=1e-5)
    late, first = logits(model, x, 3)[:, :3], logits(model, x.roll(-3, 1))[:, LENGTH - 3 :]
    assert differ(late, first).all()  # what follows knows that it stands at the beginning


def test_the_first_of_the_order_is_asked_without_knowledge() -> None:
    model = network(causal=True)
    for start in (0, 4):
        assert not differ(logits(model, tokens(1), start), logits(model, tokens(2), start))[start]


def test_one_look_at_all_tokens_is_as_good_as_a_look_at_each_time() -> None:
    """Teacher forcing: logits of the clean sequence are those of the sequence with its later tokens hidden."""
    x0 = tokens(3)
    for start in (0, 3):
        space, model = Autoregressive.of(LENGTH, SIZE, start), network(causal=True)
        unconditional = {"start": torch.tensor(start)}
        denoiser = NeuralDenoiser(model, Traits(space), unconditional)
        with torch.no_grad():
            taught: Any = denoiser(space.corrupt(x0, 0.5, Keys.of(0, 3)), 0.5)
            for k in range(LENGTH):
                t, place = 1 - k / LENGTH, (start + k) % LENGTH
                asked: Any = denoiser(space.noise(x0, t, Keys.of(0, 3)), t)
                torch.testing.assert_close(asked.mean[:, place], taught.mean[:, place], atol=1e-5, rtol=1e-5)


# What exists ---------------------------------------------------------------------------------------------


def assert_unseen(model: Transformer, exists: Tensor, condition: dict[str, Any]) -> None:
    """Tokens where nothing exists do not matter to those that do."""
    x, other = tokens(1), tokens(2)
    found = [logits(model, state, **condition) for state in (x, torch.where(exists, x, other))]
    torch.testing.assert_close(found[0][exists], found[1][exists], atol=1e-5, rtol=1e-5)


MASK = torch.arange(LENGTH) < torch.tensor([[7], [4], [2]])


@every_position
def test_positions_that_do_not_exist_are_not_seen(positions: str) -> None:
    assert_unseen(network(positions), MASK, {"mask": MASK})
    rejected(assert_unseen, network(positions), MASK, {})


@every_position
def test_padding_is_cut_off(positions: str) -> None:
    model, x = network(positions), tokens(1)
    short = logits(model, x[1:2, :4])
    torch.testing.assert_close(logits(model, x, mask=MASK)[1:2, :4], short, atol=1e-5, rtol=1e-5)
    model = network(positions, causal=True)
    torch.testing.assert_close(logits(model, x)[:, :4], logits(model, x[:, :4]), atol=1e-5, rtol=1e-5)


def assert_distances_alone(model: Transformer) -> None:
    """A sequence that stands three places further on, among positions that do not exist, says the same."""
    x = tokens(1)
    here, there = (torch.nn.functional.pad(x, padding) for padding in ((0, 3), (3, 0)))
    exists = torch.arange(LENGTH + 3).expand(3, -1) < LENGTH
    found = logits(model, here, mask=exists)[:, :LENGTH]
    torch.testing.assert_close(found, logits(model, there, mask=exists.roll(3, 1))[:, 3:], atol=1e-5, rtol=1e-5)


def test_rotary_positions_are_distances() -> None:
    assert_distances_alone(network("rotary"))
    rejected(assert_distances_alone, network("learned"))


def test_distances_have_a_direction() -> None:
    x = tokens(1)
    assert differ(logits(network(), x), logits(network(), x.flip(1)).flip(1)).all()


# What else is known --------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_only_timed_networks_see_the_time(causal: bool) -> None:
    x = tokens(1)
    for timed in (False, True):
        model = network(causal=causal, timed=timed)
        assert model.time_independent != timed
        assert differ(logits(model, x, t=0.2), logits(model, x, t=0.9)).all().item() == timed
        assert differ(logits(model, x, t=0.2), logits(model, x, t=0.9)).any().item() == timed


@pytest.mark.parametrize("causal", [False, True])
def test_families_are_seen(causal: bool) -> None:
    model, x = network(causal=causal, families=2), tokens(1)
    one, two, unsaid = (logits(model, x, family=torch.full((3,), family)) for family in (0, 1, -1))
    assert differ(one, two).all()
    assert differ(one, unsaid).all()


@every_position
def test_both_directions_have_the_same_parameters(positions: str) -> None:
    full, causal = network(positions), network(positions, causal=True)
    shapes = [{name: p.shape for name, p in model.named_parameters()} for model in (full, causal)]
    assert shapes[0] == shapes[1]
    assert all(a.equal(b) for a, b in zip(full.parameters(), causal.parameters(), strict=True))
    assert differ(logits(full, tokens(1)), logits(causal, tokens(1))).all()


@pytest.mark.parametrize("causal", [False, True])
def test_everything_learns(causal: bool) -> None:
    model = network("learned", causal=causal, families=2, timed=True)
    start = {"start": torch.zeros(3).long()} if causal else {}
    out = model(tokens(1), torch.full((3,), 0.3), {"family": torch.tensor([0, 1, -1]), **start})
    assert out.shape == (3, LENGTH, SIZE)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 20, "heads": 4}, "network.width is 20, expected a multiple of twice the 4 heads"),
        ({"heads": 0}, r"network.heads is 0"),
        ({"layers": 0}, r"network.layers is 0"),
        ({"width": 0}, r"network.width is 0"),
        ({"dropout": 1.0}, r"network.dropout is 1.0"),
        ({"dropout": -0.1}, r"network.dropout is -0.1"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TransformerConfig(**options)

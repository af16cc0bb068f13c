"""The network for molecules: it turns with them, at every noise level, and cannot tell what is not there."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.denoisers.base import NeuralDenoiser, Traits
from ornstein.keys import Keys
from ornstein.networks import MolecularConfig, MolecularTransformer
from ornstein.networks.grouping import alike
from ornstein.networks.molecular import _Cloud as Cloud
from ornstein.schedules import Cosine, Scaled, Slowed
from ornstein.spaces import Categorical, Centered, Product

N, ELEMENTS = 9, 4
SMALL = MolecularConfig(width=32, layers=3, heads=4, pairs=16, vectors=8)
MASK = torch.arange(N) < torch.tensor([9, 5, 7])[:, None]
STATE = Mapping[str, Tensor]


def network(chiral: bool = False) -> MolecularTransformer:
    torch.manual_seed(0)
    made = MolecularTransformer(MolecularConfig(**{**vars(SMALL), "chiral": chiral}), ELEMENTS + 1, ELEMENTS, 2)
    with torch.no_grad():
        for parameter in made.parameters():  # what starts at zero must not stay there
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def denoiser(chiral: bool = False) -> NeuralDenoiser:
    positions = Centered((N, 3), Scaled(Slowed(Cosine()), 1.4), 1.4)
    space = Product({"positions": positions, "atoms": Categorical.masked((N,), ELEMENTS)})
    return NeuralDenoiser(network(chiral), Traits(space), {"properties": torch.full((2,), torch.nan)})


def state(t: float = 0.5) -> dict[str, Tensor]:
    keys = Keys.of(3, 3)
    cloud = 1.4 * keys.fold("x").normal(N, 3).float() * MASK[..., None]
    atoms = keys.fold("a").uniform(N).mul(ELEMENTS).long() * MASK
    return denoiser().space.with_mask(MASK).noise({"positions": cloud, "atoms": atoms}, t, keys)


def rotation(seed: int = 0) -> Tensor:
    turned = torch.linalg.qr(Keys.of(seed, 1).normal(3, 3)[0])[0]
    return (turned * turned.det().sign()).float()


MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0]))


def moved(x: STATE, by: Tensor) -> dict[str, Tensor]:
    return {"positions": x["positions"] @ by.T, "atoms": x["atoms"]}


def believed(made: NeuralDenoiser, x: STATE, t: float, mask: Tensor = MASK) -> dict[str, Tensor]:
    said = torch.tensor([0.3, torch.nan]).expand(len(mask), 2)
    with torch.no_grad():
        return made(x, t, {"mask": mask, "properties": said}).mean


def difference(made: NeuralDenoiser, x: STATE, t: float, by: Tensor) -> float:
    """How far the belief about moved molecules is from the moved belief, Å or probability."""
    found, expected = believed(made, moved(x, by), t), moved(believed(made, x, t), by)
    return max(float((found[name] - expected[name]).abs().max()) for name in found)


@pytest.mark.parametrize("t", [1e-3, 0.1, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("chiral", [False, True])
def test_beliefs_turn_with_the_molecule(t: float, chiral: bool) -> None:
    assert difference(denoiser(chiral), state(t), t, rotation()) < 1e-5


@pytest.mark.parametrize("t", [0.5, 0.8])
def test_a_mirror_is_not_seen_unless_the_network_is_chiral(t: float) -> None:
    assert difference(denoiser(), state(t), t, MIRROR) < 1e-5
    assert difference(denoiser(chiral=True), state(t), t, MIRROR) > 1e-4


def test_a_stretched_molecule_is_another_one() -> None:
    """The broken twin of the equivariance tests."""
    assert difference(denoiser(), state(), 0.5, torch.diag(torch.tensor([1.0, 1.2, 1.0]))) > 1e-2


def test_atoms_have_no_order() -> None:
    made, x, order = denoiser(), state(), torch.tensor([3, 0, 2, 1, 4, 5, 8, 7, 6])
    mask = torch.ones_like(MASK)
    found = believed(made, {name: part[:, order] for name, part in x.items()}, 0.5, mask)
    expected = believed(made, x, 0.5, mask)
    for name, part in found.items():
        assert torch.allclose(part, expected[name][:, order], atol=1e-5)


def test_padding_changes_nothing() -> None:
    made, x = denoiser(), state()
    n = int(MASK[1].sum())
    alone = {name: part[1:2, :n] for name, part in x.items()}
    found = believed(made, alone, 0.5, MASK[1:2, :n])
    both = believed(made, x, 0.5)
    for name, part in found.items():
        assert torch.allclose(part[0], both[name][1, :n], atol=1e-5)
        assert (both[name][1, n:] == 0).all()


def test_molecules_stay_centred() -> None:
    mean = believed(denoiser(), state(), 0.3)["positions"]
    assert mean.sum(1).abs().max() < 1e-4
    shifted = {**state(), "positions": state()["positions"] + 5.0 * MASK[..., None]}
    found = network()({**shifted}, torch.full((3,), 0.5), {"mask": MASK})["positions"]
    assert torch.allclose(found, network()(state(), torch.full((3,), 0.5), {"mask": MASK})["positions"], atol=1e-4)


def test_what_is_not_said_makes_no_difference_and_what_is_does() -> None:
    made, x = denoiser(), state()
    unsaid = made(x, 0.5, {"mask": MASK}).mean["positions"]
    nan = made(x, 0.5, {"mask": MASK, "properties": torch.full((3, 2), torch.nan)}).mean["positions"]
    said = made(x, 0.5, {"mask": MASK, "properties": torch.zeros(3, 2)}).mean["positions"]
    assert (unsaid == nan).all()
    assert not torch.allclose(unsaid, said, atol=1e-3)


def test_molecules_of_like_size_go_together() -> None:
    """Each molecule is what it is alone, in its old place; a batch of one size is left whole."""
    sizes = torch.tensor([3, 29, 4, 28] * 12)
    mask = torch.arange(30) < sizes[:, None]
    groups = alike(mask, training=False)
    assert [n for _, n in groups] == [4, 29]
    assert sorted(i for rows, _ in groups for i in torch.arange(48)[rows].tolist()) == list(range(48))
    assert alike(mask[1::2], training=True) == [(slice(None), 29)]

    keys, made = Keys.of(5, 48), network()
    x = {"positions": keys.normal(30, 3).float(), "atoms": keys.uniform(30).mul(ELEMENTS).long()}
    t = keys.fold("t").uniform().float()
    with torch.no_grad():
        found = made(x, t, {"mask": mask})
        for i in (0, 1, 6, 47):
            n = int(sizes[i])
            alone = made({name: part[i : i + 1, :n] for name, part in x.items()}, t[i : i + 1], {})
            for name, part in alone.items():
                assert torch.allclose(found[name][i, :n], part[0], atol=1e-5), name
    assert not torch.allclose(found["atoms"][0, :3], found["atoms"][2, :3], atol=1e-2)


def test_a_pair_is_encoded_once() -> None:
    """The formula pair by pair: both ways alike, and each distance at its own place."""
    made = network()
    cloud = Cloud.of(torch.zeros(3, 1, 32), MASK, state()["positions"])
    differences, distances = cloud.differences(state()["positions"])
    into: Any = made.layers[0].distance
    found = cloud.encoded(distances, made.radial, into)
    for i, j in ((0, 0), (2, 5), (5, 2), (8, 1)):
        apart = state()["positions"][:, i] - state()["positions"][:, j]
        length = (apart.square().sum(-1) + 1e-6).sqrt()
        assert torch.allclose(differences[:, :, i, j], apart, atol=1e-6)
        assert torch.allclose(distances[:, i, j], length, atol=1e-6)
        assert torch.allclose(found[:, i, j], into(made.radial((2 * length).log1p())), atol=1e-5)
    assert not torch.allclose(found[:, 2, 5], found[:, 2, 4], atol=1e-2)


@pytest.mark.slow
def test_it_compiles_to_one_graph() -> None:
    """In a program of its own: the checks of shapes at run time cannot be compiled."""
    program = Path(__file__).parents[1] / "compiled_molecules.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("same numbers") == 2

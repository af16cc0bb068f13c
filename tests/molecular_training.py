"""A training of molecules small enough for tests, also as a program of its own: python molecular_training.py FOLDER.

Its network has weights that half of the batches do not use, those of what it believed at the step before.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ornstein import Categorical, Centered, Keys, NeuralDenoiser, Product, Traits
from ornstein.config import TrainConfig
from ornstein.networks import MolecularConfig, MolecularTransformer
from ornstein.schedules import Cosine
from ornstein.training.datasets import Arrays
from ornstein.training.trainer import Trainer
from small_training import CONFIG

TOGETHER = replace(CONFIG, steps=8, batch_size=4, validate_every=4, apart=0.5, times="stratified")
"""That of the program."""


def molecules(n: int, sizes: tuple[int, ...] = (3, 5, 6, 9), length: int = 13) -> Arrays:
    """Random clouds of atoms, of these sizes in turn."""
    keys, count = Keys.of(0, n), torch.tensor(sizes).repeat(n)[:n]
    mask = torch.arange(length) < count[:, None]
    x = keys.normal(length, 3).float() * mask[..., None]
    x = (x - x.sum(1, keepdim=True) / count[:, None, None]) * mask[..., None]
    atoms = (keys.fold("atoms").bits(length) % 3).abs() * mask
    return Arrays({"positions": x, "atoms": atoms}, {"mask": mask})


def molecular(folder: Path, config: TrainConfig, n: int = 32) -> Trainer:
    """A small training of molecules, of a network that sees what it believed."""
    length = 13
    parts = {"positions": Centered((length, 3), Cosine()), "atoms": Categorical.masked((length,), 3)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes: Any = {"width": 16, "layers": 2, "heads": 2, "pairs": 8, "vectors": 4, "radial": 8}
        network = MolecularTransformer(MolecularConfig(**sizes, recalls=True), 4, 3)
    model = NeuralDenoiser(network, Traits(Product(parts)))
    return Trainer(model, molecules(n), molecules(16), config, folder, {"config": {}, "facts": {}})


def main() -> None:
    torch.set_num_threads(1)
    molecular(Path(sys.argv[1]), TOGETHER).fit()


if __name__ == "__main__":
    main()

"""Molecules that a benchmark draws: batch by batch, each kept as soon as it is drawn, so that a run can be broken off.

What is kept is of one model, by its weights: another one's draws are never taken for it.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ornstein as on
from ornstein.denoisers.base import Denoiser, NeuralDenoiser
from ornstein.denoisers.regressors import Regressor
from ornstein.domains.molecules import data
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.drawn import ONCE
from ornstein.training.devices import bf16_pays

MODEL = "molecules/qm9"


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What both benchmarks are told.

    Args:
        name: of the benchmark, and of the folder for what is kept.
    """
    parser.add_argument("--model", default=MODEL, help="a shipped model, a run folder or a file of weights")
    parser.add_argument("--batch", type=int, default=50, help="molecules drawn at once")
    parser.add_argument("--kept", type=Path, default=Path("runs") / name, help="folder for what is drawn")
    parser.add_argument("--precision", choices=("auto", "bf16", "32"), default="auto", help="auto = the faster one")


@dataclass(frozen=True)
class Drawing:
    """How molecules of one model are drawn and kept.

    Attributes:
        folder: of this model's molecules.
        batch: molecules drawn at once.
        fast: whether in bfloat16.
    """

    model: NeuralDenoiser
    folder: Path
    batch: int
    fast: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Drawing":
        model = on.load(options.model)
        fast = options.precision == "bf16" or (options.precision == "auto" and bf16_pays())
        return cls(model, options.kept / digest(model), options.batch, fast)

    @property
    def metadata(self) -> Mapping[str, Any]:
        assert self.model.origin is not None
        return self.model.origin.metadata

    def arithmetic(self) -> AbstractContextManager[Any]:
        """In which the network is asked."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.fast)

    def draw(
        self,
        name: str,
        mask: Tensor,
        steps: int,
        told: Callable[[slice], tuple[Denoiser, Mapping[str, Tensor]]],
    ) -> list[Molecule]:
        """Molecules by number, those of batches that are kept as they are.

        Args:
            name: of the file, with all that decides what is drawn but the model, the batch and the number of calls.
            mask: the atoms of each, (n, length).
            steps: calls of each.
            told: the model as it is asked for some of them, and what else these are given.
        """
        found: list[Molecule] = []
        begun = time.process_time()
        for first in range(0, len(mask), self.batch):
            part = slice(first, min(first + self.batch, len(mask)))
            path = self.folder / f"{name}-{steps}-{self.batch}-{part.start}-{part.stop}.npz".replace(" ", "-")
            if not path.exists():
                data.table(self._drawn(mask[part], steps, first, *told(part))).save(path)
            found += data.Table.load(path).molecules()
            done = f"{name}: {len(found)} of {len(mask)} molecules, {time.process_time() - begun:.0f} s"
            print(done, file=sys.stderr, flush=True)
        return found

    def _drawn(
        self, mask: Tensor, steps: int, first: int, denoiser: Denoiser, given: Mapping[str, Tensor]
    ) -> list[Molecule]:
        how, condition = {**ONCE, "steps": steps}, {**given, "mask": mask}
        with self.arithmetic():
            drawn = on.sample(denoiser, len(mask), **how, condition=condition, first=first)
        return data.molecules(drawn.x, mask, self.metadata)


def measured(found: Iterable[Mapping[str, Any]], out: Path) -> None:
    """Appends each row to the file as soon as it is measured, and prints it."""
    with out.open("a") as file:
        for row in found:
            print(json.dumps(row), file=file, flush=True)
            print(json.dumps(row), flush=True)


def digest(model: NeuralDenoiser | Regressor) -> str:
    """Eight digits by which a model is told from others: its weights, noise and path."""
    seen = hashlib.sha256(repr(model.space).encode())
    for name, value in sorted(model.network.state_dict().items()):
        seen.update(name.encode() + value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return seen.hexdigest()[:8]

"""The draws that are measured: which are fitted, and which are held out to be predicted."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from costs_model import Draw

FIT, HELD_OUT, TOLD = "fit", "held out", "told"


@dataclass(frozen=True)
class Case:
    """One draw that is measured.

    Attributes:
        model: a shipped one.
        series: draws are fitted together with those of the same model and series: "draws", of the command line;
            "size", of samples of other sizes; "particles", of populations; "told", which are not fitted: what a
            measurement or a wish costs beside the same draw without.
        role: fit, held out or told.
        n: samples; the members of an ensemble.
        steps: of the sampler; None = as the model has it.
        batch_size: None = as the domain has it.
        size: of a sample, where the series is of sizes.
        particles: of a population.
        flags: further ones of the command, where {here} is the folder of the files that they name.
    """

    model: str
    series: str
    role: str
    n: int
    steps: int | None = None
    batch_size: int | None = None
    size: int | None = None
    particles: int | None = None
    flags: str = ""

    @property
    def id(self) -> dict[str, Any]:
        """What tells it from the others, but for its role."""
        return {name: value for name, value in asdict(self).items() if name != "role" and value not in (None, "")}

    @property
    def arguments(self) -> list[str]:
        """Those of `ornstein sample`, but for --out."""
        named = {"steps": self.steps, "batch-size": self.batch_size, "particles": self.particles}
        number = ["--times", "0", "--members"] if self.model.startswith("weather/") else ["--n"]
        said = [word for name, value in named.items() if value is not None for word in (f"--{name}", str(value))]
        exact = ["--exact", "particles"] if self.particles else []
        return [self.model, *number, str(self.n), *said, *exact, *self.flags.split()]

    def draw(self, steps: int, batch: int, calls: float | None = None) -> Draw:
        """Its place in the cost model.

        Args:
            steps: those that were taken.
            batch: samples a block, as the manifest has it; all, where there are no blocks.
            calls: NFE of a sample, once it is known.
        """
        if self.particles:
            return Draw(self.n, 1, self.particles, steps, self.size, calls)
        blocks = -(-self.n // batch)
        return Draw(self.n, blocks, blocks * batch, steps, self.size, calls)


def of_row(row: Mapping[str, Any]) -> Case:
    """The case of a stored line."""
    return Case(**{name: row[name] for name in Case.__dataclass_fields__ if name in row})


DRAWS: Mapping[str, tuple[int, int, str]] = {
    "energies/dw-4": (256, 5, ""),
    "energies/gmm-40": (256, 20, ""),
    "energies/lj-13": (128, 4, ""),
    "energies/many-well-32": (256, 10, ""),
    "images/digits": (8, 10, ""),
    "images/fashion": (8, 4, ""),
    "images/openmoji": (4, 3, ""),
    "molecules/qm9": (4, 4, ""),
    "mri/brain": (2, 2, ""),
    "poisson/discs": (8, 3, ""),
    "poisson/gaussian": (8, 4, ""),
    "poisson/gaussian-128": (4, 2, ""),
    "poisson/solver": (8, 5, "--source 1.0"),
    "sequences/riboswitch": (8, 20, ""),
    "sequences/start-sites": (8, 20, ""),
    "sequences/trypsin": (8, 10, ""),
    "weather/qg": (8, 3, ""),
}
"""Of every shipped model the batch and the steps of the shortest draw that is fitted, and the flags that it needs."""

DEFAULT_N = 16
"""Samples that the command line draws if nobody says how many."""

SIZES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], int, int]] = {
    "images/openmoji": ((16, 24, 32, 48), (40, 64), 4, 4),
    "molecules/qm9": ((9, 14, 20, 26), (17, 29), 8, 4),
    "mri/brain": ((64, 96, 128, 192), (160, 256), 2, 2),
    "poisson/gaussian": ((32, 48, 64, 96), (80, 128), 8, 3),
    "sequences/riboswitch": ((48, 96, 160, 240), (128, 320), 8, 16),
}
"""Model → sizes that are fitted, sizes that are held out, batch, steps."""

POPULATIONS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], int, str]] = {
    "images/digits": ((8, 16, 24), (12, 32), 3, "--observation {here}/seen.png --noise 0.3"),
    "molecules/qm9": ((8, 16, 32), (24, 48), 3, "--hydrogen-bond 1 --atoms 12"),
    "poisson/gaussian": ((4, 8, 16), (12, 32), 2, "--solution-sensors {here}/readings.csv"),
    "sequences/riboswitch": ((16, 32, 64), (48, 128), 20, "--fraction GC=0.6"),
}
"""Model → particles that are fitted, particles that are held out, steps, what is known."""


def cases() -> Iterator[Case]:
    """All of them, model by model."""
    for model in DRAWS:
        yield from draws(model)
        yield from sizes(model)
        yield from populations(model)


def draws(model: str) -> Iterator[Case]:
    """Draws of the command line; held out are one of other numbers and the default."""
    batch, steps, flags = DRAWS[model]
    fitted = ((1, 1, 1), (1, 3, 1), (2, 1, 1), (4, 1, 1), (1, 2, 2))  # batches, steps, what the batch is divided by
    for batches, times, part in fitted:
        size = batch // part
        yield Case(model, "draws", FIT, batches * batch, times * steps, size, flags=flags)
    yield Case(model, "draws", HELD_OUT, 3 * batch, 2 * steps, batch, flags=flags)
    yield Case(model, "draws", HELD_OUT, DEFAULT_N, flags=flags)


def sizes(model: str) -> Iterator[Case]:
    """Draws of samples of other sizes, where there are any."""
    if model not in SIZES:
        return
    fitted, held_out, n, steps = SIZES[model]
    smallest = fitted[0]
    numbers = [(size, n, steps, FIT) for size in fitted] + [
        (smallest, 2 * n, steps, FIT),
        (smallest, n, 3 * steps, FIT),
    ]
    for size, many, times, role in [*numbers, *((size, n, steps, HELD_OUT) for size in held_out)]:
        yield Case(model, "size", role, many, times, n, size=size)


def populations(model: str) -> Iterator[Case]:
    """Populations, and the same said to independent samples, where the model has an example."""
    if model not in POPULATIONS:
        return
    fitted, held_out, steps, flags = POPULATIONS[model]
    for particles in (*fitted, *held_out):
        role = FIT if particles in fitted else HELD_OUT
        yield Case(model, "particles", role, 4, steps, particles=particles, flags=flags)
    plain = "--atoms 12" if "--atoms" in flags else ""
    yield Case(model, "told", TOLD, 8, steps, flags=plain)
    yield Case(model, "told", TOLD, 8, steps, flags=flags)

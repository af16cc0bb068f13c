"""What the data is: an energy E(x), from which follows p(x) = exp(−E(x)) / Z. No samples are needed.

Energies are dimensionless (kT = 1) and differentiable, (batch, *shape) → (batch,), in the dtype given. A name stands
for a well-known target, `path/to/file.py:name` for a `System` in a Python file of the user's; `calculator` makes one of
any calculator that ASE knows.

| name | energy |
|---|---|
| gmm-40 | forty equal Gaussians in the plane, standard deviation 1.313 (Midgley et al. 2023) |
| many-well-32 | sixteen pairs x₁⁴ − 6x₁² − x₁/2 + x₂²/2 (Noé et al. 2019) |
| dw-4 | four particles in the plane, Σ .9(d − 4)⁴ − 4(d − 4)² over pairs (Köhler et al. 2020) |
| lj-13 | thirteen particles, 2Σ(r⁻¹² − 2r⁻⁶) over pairs + ½Σ‖x − x̄‖² (Köhler et al. 2020) |
| funnel-10 | x₀ ~ N(0, 3²), x_i ~ N(0, e^{x₀}) (Neal 2003) |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import log, pi
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ... import code
from ...config import suggestion
from ...deprecation import members, renamed
from ...errors import InputError
from ...guidance.calculators import calculated, tight_binding
from ...keys import Keys
from ...schedules import Cosine, Schedule
from ...spaces import Centered, Euclidean
from ...training.datasets import Arrays
from .checks import check, require_sense
from .learning import first_data, spread


@renamed(facts="reference")
@members(facts="reference")
@dataclass(frozen=True, eq=False)
class System:
    """An energy and what is known about it.

    Attributes:
        name: for people.
        energy: E in units of kT, (batch, *shape) → (batch,).
        shape: of one sample.
        width: standard deviation of a Gaussian about 0 that covers all that matters, in the units of x.
        centered: samples are particles (points, dimension) whose centre of mass is 0.
        reference: exact numbers: `log_z` = log ∫ e^{−E} (over the centred subspace, if centered), `energy` = ⟨E⟩,
            `virial` = ⟨x·∇E⟩.
        draw: exact samples, (batch, *shape).
        group: the number of the class that a sample, or each of its independent copies, falls in.
        shares: the exact probability of each class.
        energies: evenly spaced quantiles of E, 0 to 1, of long chains, where nothing better is known.
        kinds: a number a particle; particles with equal numbers may be exchanged. Empty: all may.
    """

    name: str
    energy: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]
    width: float
    centered: bool = False
    reference: Mapping[str, float] = field(default_factory=dict)
    draw: Callable[[Keys], Tensor] | None = None
    group: Callable[[Tensor], Tensor] | None = None
    shares: Float[Tensor, " groups"] | None = None
    energies: tuple[float, ...] = ()
    kinds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require_sense(self)
        object.__setattr__(self, "shape", tuple(self.shape))

    def space(self, schedule: Schedule = Cosine(), data_std: float = 1.0) -> Euclidean:
        """Where the samples live; data_std: of one coordinate."""
        return (Centered if self.centered else Euclidean)(self.shape, schedule, data_std)


# Mixture, wells, funnel -------------------------------------------------------------------------------


def gmm40() -> System:
    """Forty Gaussians scattered over [−40, 40]², with the benchmark's own means."""
    means = (torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) - 0.5) * 80
    std = F.softplus(torch.tensor(1.0, dtype=torch.float64)).item()
    return System(
        "gmm-40",
        partial(_mixture_energy, means, std),
        (2,),
        width=30.0,
        reference={"log_z": 0.0, "virial": 2.0},
        draw=partial(_mixture_draw, means, std),
        group=partial(_nearest, means),
        shares=torch.full((40,), 1 / 40),
    )


def _mixture_energy(means: Tensor, std: float, x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
    distances = (x[:, None] - means.to(x)).square().sum(-1) / std**2
    constant = log(len(means)) + means.shape[1] * (log(std) + log(2 * pi) / 2)
    return constant - torch.logsumexp(-distances / 2, 1)


def _mixture_draw(means: Tensor, std: float, keys: Keys) -> Float[Tensor, "batch d"]:
    chosen = (keys.fold("component").uniform(1)[:, 0] * len(means)).long()
    return means[chosen] + (std * keys.normal(means.shape[1])).to(means)


def _nearest(means: Tensor, x: Float[Tensor, "batch d"]) -> Int[Tensor, " batch"]:
    return torch.cdist(x, means.to(x)).argmin(1)


def many_well32() -> System:
    """Sixteen independent copies of a lopsided double well beside a Gaussian; copy k is (x₂ₖ, x₂ₖ₊₁), 2¹⁶ modes."""
    grid = torch.linspace(-4, 4, 1 << 14, dtype=torch.float64)
    weight = torch.exp(-_well(grid))
    mass = torch.cat([torch.zeros(1).double(), torch.cumulative_trapezoid(weight, grid)])
    z, cdf = mass[-1], mass / mass[-1]
    right = 1 - _interpolated(torch.zeros(1).double(), grid, cdf)
    energy = torch.trapezoid(_well(grid) * weight, grid) / z + 0.5
    return System(
        "many-well-32",
        _wells_energy,
        (32,),
        width=2.0,
        reference={"log_z": 16 * (z.log().item() + log(2 * pi) / 2), "energy": 16 * energy.item(), "virial": 32.0},
        draw=partial(_wells_draw, grid, cdf),
        group=lambda x: (x[:, ::2] > 0).long(),
        shares=torch.cat([1 - right, right]).float(),
    )


def _well(x: Tensor) -> Tensor:
    return x**4 - 6 * x**2 - x / 2


def _wells_energy(x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
    return (_well(x[:, ::2]) + x[:, 1::2] ** 2 / 2).sum(1)


def _wells_draw(grid: Tensor, cdf: Tensor, keys: Keys) -> Float[Tensor, "batch 32"]:
    wells = _interpolated(keys.fold("wells").uniform(16), cdf, grid)
    return torch.stack([wells, keys.normal(16)], 2).flatten(1).to(torch.get_default_dtype())


def _interpolated(at: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """The piecewise linear function through (xs, ys), xs ascending."""
    above = torch.searchsorted(xs, at).clamp(1, len(xs) - 1)
    left, right = xs[above - 1], xs[above]
    return torch.lerp(ys[above - 1], ys[above], (at - left) / (right - left))


def funnel10() -> System:
    """Neal's funnel: nine Gaussians whose common scale varies a hundredfold and more."""
    return System(
        "funnel-10",
        _funnel_energy,
        (10,),
        width=10.0,
        reference={"log_z": 0.0, "energy": 5 * (1 + log(2 * pi)) + log(3), "virial": 10.0},
        draw=_funnel_draw,
    )


def _funnel_energy(x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
    neck, rest = x[:, 0], x[:, 1:]
    wide = (rest**2).sum(1) * torch.exp(-neck) + rest.shape[1] * neck
    return (neck**2 / 9 + wide + x.shape[1] * log(2 * pi)) / 2 + log(3)


def _funnel_draw(keys: Keys) -> Float[Tensor, "batch 10"]:
    z = keys.normal(10)
    neck = 3 * z[:, :1]
    return torch.cat([neck, z[:, 1:] * torch.exp(neck / 2)], 1).to(torch.get_default_dtype())


# Particles ------------------------------------------------------------------------------------------

_SHORT = (5.6e-11, 0.00095, 0.5177, 0.0347, 0.4064, 0.0396, 0.0006)
"""P(0 … 6 of the six bonds of dw-4 are shorter than 4), ± .0002, by the quadrature that its test repeats."""


def dw4() -> System:
    """Four particles in the plane whose bonds are 2.5 or 5.5 long; classes are numbers of short bonds."""
    return System(
        "dw-4",
        _double_wells_energy,
        (4, 2),
        width=3.0,
        centered=True,
        reference={"log_z": 29.66723, "energy": -22.5415, "virial": 6.0},
        group=lambda x: (_distances2(x) < 16).sum(1),
        shares=torch.tensor(_SHORT),
    )


def _distances2(x: Float[Tensor, "batch n d"]) -> Float[Tensor, "batch pairs"]:
    """Squared distances, pair by pair; one matrix product takes all differences, which is faster than indexing."""
    batch, n, d = x.shape
    first, second = torch.triu_indices(n, n, 1, device=x.device)
    eye = torch.eye(n, dtype=x.dtype, device=x.device)
    differences = x.mT.reshape(-1, n) @ (eye[first] - eye[second]).T
    return differences.reshape(batch, d, -1).square().sum(1)


def _double_wells_energy(x: Float[Tensor, "batch n d"]) -> Float[Tensor, " batch"]:
    stretch = _distances2(x).clamp(min=1e-12).sqrt() - 4  # the slope of √ at 0 would be NaN
    return (0.9 * stretch**4 - 4 * stretch**2).sum(1)


_LJ_QUANTILES = (
    -68.17,
    -55.26,
    -53.50,
    -52.35,
    -51.44,
    -50.69,
    -50.02,
    -49.40,
    -48.83,
    -48.30,
    -47.78,
    -47.29,
    -46.82,
    -46.36,
    -45.93,
    -45.49,
    -45.06,
    -44.63,
    -44.21,
    -43.78,
    -43.36,
    -42.93,
    -42.50,
    -42.05,
    -41.61,
    -41.14,
    -40.66,
    -40.16,
    -39.64,
    -39.10,
    -38.53,
    -37.93,
    -37.28,
    -36.57,
    -35.77,
    -34.88,
    -33.85,
    -32.55,
    -30.82,
    -28.18,
    -1.22,
)
"""Of the energy of lj-13, 0, 1/40 … 1, by 256 HMC chains of 800 draws, R̂ 1.001; ⟨E⟩ = −42.930 ± .021:
`python benchmarks/energies.py --reference lj-13`."""


def lj13() -> System:
    """A cluster of thirteen Lennard-Jones particles in a harmonic trap."""
    reference = {"virial": 36.0}
    energy = _lennard_jones_energy
    return System("lj-13", energy, (13, 3), width=1.0, centered=True, reference=reference, energies=_LJ_QUANTILES)


def _lennard_jones_energy(x: Float[Tensor, "batch n d"]) -> Float[Tensor, " batch"]:
    inverse6 = _distances2(x).clamp(min=1e-3) ** -3  # nearer than .03, where float32 would overflow, E stays at 2·10¹⁸
    trap = (x - x.mean(1, keepdim=True)).square().sum((1, 2)) / 2
    return 2 * (inverse6 * (inverse6 - 2)).sum(1) + trap


# Finding a system -------------------------------------------------------------------------------------

systems: Mapping[str, Callable[[], System]] = MappingProxyType(
    {"gmm-40": gmm40, "many-well-32": many_well32, "dw-4": dw4, "lj-13": lj13, "funnel-10": funnel10}
)


def system(source: str) -> System:
    """The system of that name, or of `path/to/file.py:name`, which is run.

    InputError if there is none, or `check` finds it wrong.

    Args:
        source: such as "gmm-40", or "my.py:mine".
    """
    if code.is_code(source):
        code.allow(source)
    return recorded({"system": source})


def recorded(metadata: Mapping[str, Any]) -> System:
    """The system that the data of a model are of; one of the user's own is run if it is allowed and has not changed.

    Args:
        metadata: of the data: `system`, its name, and `code`, the hashes of its Python files.
    """
    source = metadata["system"]
    if source in systems:
        return systems[source]()
    if not code.is_code(source):
        known = suggestion(source, list(systems))
        raise InputError(f"{source}: no such system, and not of the form path/to/file.py:name{known}")
    path, names = code.run(source, metadata.get("code"))
    found = _named(names, source.rpartition(":")[2], path)
    check(found, source)
    return found


def _named(names: Mapping[str, Any], name: str, path: Path) -> System:
    if name not in names:
        found = [key for key, value in names.items() if isinstance(value, System)]
        known = suggestion(name, found) if found else ", nor any other System"
        raise InputError(f"{path}: has no {name!r}{known}")
    if not isinstance(names[name], System):
        raise InputError(f"{path}: {name} is a {type(names[name]).__name__}, expected a System")
    return names[name]


def calculator(atoms: Any, temperature: float, width: float | None = None) -> System:
    """An `ase.Atoms` with its calculator at a temperature in K, as a centred system; see calculators.py.

    width: in Å, see `System`; by default the largest coordinate about the centre, and 1 Å at least.

    Args:
        atoms: of ASE, positions in Å.
    """
    energy = calculated(atoms, temperature)
    positions = torch.as_tensor(energy.atoms.positions)
    extent = float((positions - positions.mean(0)).abs().max())
    name, kinds = energy.atoms.get_chemical_formula(), tuple(energy.atoms.numbers.tolist())
    return System(name, energy, tuple(positions.shape), width or max(1.0, extent), centered=True, kinds=kinds)


def xtb(atoms: Any, temperature: float, width: float | None = None, method: str = "GFN2-xTB") -> System:
    """`calculator` with tblite's tight binding; InputError if tblite is not installed.

    Args:
        atoms: of ASE, positions in Å.
        temperature: in kelvin.
        width: standard deviation about 0, in the unit of x.
        method: of tight binding, such as GFN2-xTB.
    """
    return calculator(tight_binding(atoms, method), temperature, width)


# Data, where there are none ---------------------------------------------------------------------------


def annealed(source: str, particles: int, draws: int, seed: int) -> tuple[Arrays, Arrays]:
    """Training and validation samples of a system, from its energy alone; see learning.py.

    Args:
        source: name of a system, or path/to/file.py:name of your own.
        particles: size of the population.
        draws: kept of each particle, in chains that start from it.
        seed: of all random numbers.
    """
    found = system(source)
    space = found.space()
    x, gradients = first_data(found.energy, space, found.width, particles, draws, seed)
    order = Keys.of(seed, 1).fold("order").bits(particles)[0].argsort()
    held_out, train = order[: particles // 10], order[particles // 10 :]
    metadata = {
        "source": f"none: samples of exp(−E) of {found.name}, annealed from the energy alone",
        "system": source,
        "shape": list(found.shape),
        "centered": found.centered,
        "kinds": list(found.kinds),
        "std": float(f"{spread(x.flatten(0, 1), space):.4g}"),
        "records": draws * len(train),
        "gradients": gradients,
        "code": code.hashes_of(code.run(source)[0]) if code.is_code(source) else {},
    }
    return tuple(Arrays(x[:, part].flatten(0, 1).float(), {}, metadata) for part in (train, held_out))  # pyright: ignore[reportReturnType]

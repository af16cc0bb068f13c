"""The named systems against quadrature, exact draws and other people's code; calculators; what a user gets wrong."""

import sys
from math import exp, inf, isfinite, log, pi
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein.domains.energies import NetworkConfig, System, calculator, check, system, systems, xtb
from ornstein.domains.energies.checks import require_sense
from ornstein.domains.energies.network import build
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.networks import MLP, ParticleNetwork
from ornstein.spaces import Centered, Euclidean
from worlds import assert_close, chi_square, double, rejected

DRAWN = ("gmm-40", "many-well-32", "funnel-10")


def points(system: System, n: int = 8, dtype: torch.dtype = torch.float64, spread: float = 0.5) -> Tensor:
    x = Keys.of(3, n).normal(*system.shape) * spread * system.width
    return system.space().project(x.to(dtype))


def slopes(system: System, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(system.energy(x).sum(), x)[0]


def assert_mean(values: Tensor, expected: float) -> None:
    """Independent values have that mean, within 4.5 standard errors."""
    error = (values.double().mean() - expected) / (values.double().std() / len(values) ** 0.5)
    assert abs(error) < 4.5, f"mean {values.mean():.5g}, expected {expected:.5g}, {error:.1f} standard errors"


# What every system promises ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", systems)
def test_a_named_system_is_what_it_says(name: str) -> None:
    found = system(name)
    check(found)
    assert found.name == name
    assert type(found.space()) is (Centered if found.centered else Euclidean)
    degrees = found.space().freedom(points(found, 1)).sum().item()
    assert found.reference["virial"] == pytest.approx(degrees)  # by parts: ⟨x·∇E⟩ = degrees of freedom
    if found.shares is not None:
        assert found.shares.sum().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", systems)
def test_gradients_are_finite_differences(name: str) -> None:
    found = system(name)
    x = points(found, 3, spread=2.0 if name == "lj-13" else 0.5).requires_grad_()
    assert torch.autograd.gradcheck(found.energy, x, eps=1e-6, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", systems)
def test_single_precision_agrees_with_double(name: str) -> None:
    found = system(name)
    x = points(found, 8, torch.float32)
    torch.testing.assert_close(found.energy(x), found.energy(x.double()).float(), rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["dw-4", "lj-13"])
def test_energies_of_particles_are_invariant(name: str) -> None:
    found = system(name)
    x = points(found, 8, torch.float32, 1.0)
    turn = torch.linalg.qr(Keys.of(1, 1).normal(x.shape[2], x.shape[2])[0]).Q.float()
    for moved in (x @ turn, x.flip(1), x + 0.7):
        torch.testing.assert_close(found.energy(moved), found.energy(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["dw-4", "lj-13"])
def test_coinciding_particles_have_a_finite_energy_and_slope(name: str) -> None:
    found = system(name)
    x = torch.zeros(2, *found.shape)
    assert found.energy(x).isfinite().all()
    assert slopes(found, x).isfinite().all()


# Exact draws follow their energies --------------------------------------------------------------------


def assert_stationary(system: System, x: Tensor) -> None:
    """⟨x·∇E⟩ is the number of degrees of freedom, and ⟨E⟩ as known."""
    assert_mean((x * slopes(system, x)).flatten(1).sum(1), system.reference["virial"])
    if "energy" in system.reference:
        assert_mean(system.energy(x), system.reference["energy"])


@pytest.mark.parametrize("name", DRAWN)
def test_draws_follow_the_energy(name: str) -> None:
    found = system(name)
    assert found.draw is not None
    x = found.draw(Keys.of(0, 20_000))
    assert x.shape == (20_000, *found.shape)
    assert_stationary(found, x)
    rejected(assert_stationary, found, 1.03 * x)


def assert_shares(system: System, x: Tensor) -> None:
    assert system.group is not None
    assert system.shares is not None
    counts = torch.bincount(system.group(x).flatten(), minlength=len(system.shares))
    statistic, p = chi_square(counts, system.shares)
    assert p > 1e-3, f"chi-square {statistic:.1f} on {len(counts) - 1} degrees of freedom"


@pytest.mark.parametrize("name", ["gmm-40", "many-well-32"])
def test_draws_fall_into_classes_as_they_should(name: str) -> None:
    found = system(name)
    assert found.draw is not None
    x = found.draw(Keys.of(0, 20_000))
    assert_shares(found, x)
    lopsided = torch.where(Keys.of(5, len(x)).uniform(1) < 0.05, x.abs(), x)
    rejected(assert_shares, found, lopsided)


def test_the_mixture_is_the_benchmarks_own() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        means = (torch.rand(40, 2) - 0.5) * 80
        before = torch.get_rng_state()
        found = system("gmm-40")
        assert torch.equal(before, torch.get_rng_state())
    assert found.group is not None
    assert torch.equal(found.group(means), torch.arange(40))
    std = log(1 + exp(1))
    single = double([means[0].tolist()])
    neighbours = -(single - means.double()).square().sum(1) / (2 * std**2)
    assert_close(found.energy(single), -(torch.logsumexp(neighbours, 0) - log(40 * 2 * pi * std**2))[None])


def test_the_mixture_is_normalised() -> None:
    axis = torch.arange(-50, 50.25, 0.5, dtype=torch.float64)
    mass = torch.exp(-system("gmm-40").energy(torch.cartesian_prod(axis, axis))).sum() * 0.25
    assert_close(mass.log().item(), 0.0, 1e-6)


def test_the_facts_of_the_many_well() -> None:
    found = system("many-well-32")
    assert found.shares is not None
    assert found.reference["log_z"] == pytest.approx(164.6957, abs=5e-5)
    assert found.shares.tolist() == pytest.approx([0.155693, 0.844307], abs=1e-6)


def test_the_funnel_is_a_product_of_gaussians() -> None:
    x = Keys.of(2, 6).normal(10)
    scales = torch.cat([torch.full((6, 1), 3.0), torch.exp(x[:, :1] / 2).expand(-1, 9)], 1)
    density = torch.distributions.Normal(0.0, scales).log_prob(x).sum(1)
    assert_close(system("funnel-10").energy(x), -density)


# Four particles in double wells, by quadrature ---------------------------------------------------------


def double_well(d: Tensor, beta: float) -> Tensor:
    return beta * (0.9 * (d - 4) ** 4 - 4 * (d - 4) ** 2)


def convolved(weights: Tensor, kernel: Tensor) -> Tensor:
    """∫ kernel(x − y) weights(y) dy on a grid, the kernel's twice as wide."""
    size = kernel.shape[-1]
    product = torch.fft.rfft2(weights, s=(size, size)) * torch.fft.rfft2(kernel)
    return torch.fft.irfft2(product, s=(size, size))[: len(weights), : len(weights)]


def short_bonds(beta: float = 1.0, h: float = 0.2, reach: float = 9.6) -> Tensor:
    """∫ e^{−βE} over the shapes with 0, …, 6 short bonds.

    Particles 1 and 2 lie at ∓r/2 on an axis, 3 and 4 on a grid in the plane: their bond makes it a convolution.
    """
    n = round(2 * reach / h)
    x, y = torch.meshgrid(*[(torch.arange(n) - n // 2).double() * h] * 2, indexing="ij")
    wrapped = torch.fft.fftfreq(2 * n, dtype=torch.float64) * 2 * n * h
    bond34 = torch.hypot(wrapped[:, None], wrapped)
    kernels = [torch.exp(-double_well(bond34, beta)) * ((bond34 < 4) == short) for short in (False, True)]
    found = torch.zeros(7, dtype=torch.float64)
    for r in torch.arange(h / 2, 9, h, dtype=torch.float64):
        bonds = [torch.hypot(x - side * r / 2, y) for side in (-1, 1)]
        weight = torch.exp(-double_well(bonds[0], beta) - double_well(bonds[1], beta))
        number = sum((bond < 4).long() for bond in bonds)
        split = [weight * (number == k) for k in range(3)]
        scale = 2 * pi * r * torch.exp(-double_well(r, beta)) * h**5
        for third in range(3):
            for short, kernel in enumerate(kernels):
                around = convolved(split[third], kernel)
                for fourth in range(3):
                    found[int(r < 4) + third + short + fourth] += scale * (split[fourth] * around).sum()
    return found / 4  # a centred volume element is n^{−d/2} = 1/4 of that relative to one particle


def test_the_facts_of_four_particles() -> None:
    found, measured, step = system("dw-4"), short_bonds(), 1e-3
    assert found.shares is not None
    warm, cold = (short_bonds(1 + sign * step).sum().log().item() for sign in (-1, 1))
    assert found.reference["log_z"] == pytest.approx(measured.sum().log().item(), abs=1e-5)
    assert found.reference["energy"] == pytest.approx((warm - cold) / (2 * step), abs=1e-3)
    torch.testing.assert_close(found.shares.double(), measured / measured.sum(), atol=1e-3, rtol=0)
    published = torch.tensor([0.517, 0.036, 0.406, 0.040])
    torch.testing.assert_close(found.shares[2:6], published, atol=2e-3, rtol=0)


def test_classes_of_four_particles_are_short_bonds() -> None:
    found = system("dw-4")
    x = points(found, 64, spread=1.0)
    assert found.group is not None
    expected = torch.stack([(torch.pdist(particles) < 4).sum() for particles in x])
    assert torch.equal(found.group(x), expected)


# Calculators ------------------------------------------------------------------------------------------


def lennard_jones(n: int = 4, temperature: float = 300.0) -> tuple[Any, System]:
    """Argon-like atoms under ASE's Lennard-Jones calculator with its well of 0.02 eV at 1 Å."""
    ase = pytest.importorskip("ase")
    from ase.calculators.lj import LennardJones

    atoms = ase.Atoms(f"Ar{n}", positions=1.3 * Keys.of(8, 1).normal(n, 3)[0].numpy())
    atoms.calc = LennardJones(epsilon=0.02, sigma=2 ** (-1 / 6), rc=1e4)
    return atoms, calculator(atoms, temperature)


def test_a_calculator_agrees_with_our_own_formula() -> None:
    pytest.importorskip("ase")
    from ase.units import kB

    atoms, found = lennard_jones()
    check(found)

    def formula(x: Tensor) -> Tensor:
        pairs = torch.stack([torch.pdist(particles) for particles in x]) ** -6
        return 0.02 * (pairs * (pairs - 2)).sum(1) / (kB * 300)

    x = 1.3 * Keys.of(9, 5).normal(4, 3)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    offset = formula(torch.tensor(atoms.positions)[None])
    assert_close(found.energy(theirs).detach(), (formula(mine) - offset).detach(), 1e-6)
    formula(mine).sum().backward()
    found.energy(theirs).sum().backward()
    assert mine.grad is not None
    assert_close(theirs.grad, mine.grad, 1e-6)
    assert found.energy(x.float()).dtype == torch.float32


def test_a_calculator_leaves_the_atoms_alone() -> None:
    atoms, free = lennard_jones()
    before = atoms.positions.copy()
    slopes(free, points(free, 2, spread=1.3))
    assert np.array_equal(before, atoms.positions)


def test_constraints_of_any_kind_are_refused() -> None:
    """They were dropped: a frozen pair at 3.8 Å was 1.8 to 6.2 Å apart in samples."""
    constraints = pytest.importorskip("ase.constraints")
    atoms, _ = lennard_jones()
    kinds = (
        constraints.FixAtoms([0, 1]),
        constraints.FixCom(),
        constraints.FixBondLength(0, 1),
        constraints.FixedPlane(0, (1, 0, 0)),
        constraints.Hookean(0, 1, 1.0, 1.0),
    )
    for kind in kinds:
        atoms.set_constraint(kind)
        with pytest.raises(InputError, match=rf"Ar4.*: is under constraints \({type(kind).__name__}\)"):
            calculator(atoms, 300.0)
    atoms.set_constraint()
    calculator(atoms, 300.0)


def test_a_failed_calculation_is_rejected_by_any_metropolis_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms, found = lennard_jones()

    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError("SCF did not converge")

    monkeypatch.setattr(atoms.calc, "calculate", failing)
    x = points(found, 2).requires_grad_()
    energy = found.energy(x)
    assert energy.tolist() == [inf, inf]
    (slope,) = torch.autograd.grad(energy.sum(), x)
    assert not slope.any()


def test_what_a_calculator_cannot_do() -> None:
    atoms, _ = lennard_jones()
    with pytest.raises(InputError, match=r"temperature is 0\.0, expected a positive"):
        calculator(atoms, 0.0)
    with pytest.raises(InputError, match="has no calculator"):
        calculator(atoms.copy(), 300.0)
    atoms.pbc = True
    with pytest.raises(InputError, match="is periodic"):
        calculator(atoms, 300.0)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms, _ = lennard_jones()
    monkeypatch.setitem(sys.modules, "tblite.ase", None)
    with pytest.raises(InputError, match=r"needs 'tblite': pip install 'ornstein\[energies\]'"):
        xtb(atoms, 300.0)
    monkeypatch.setitem(sys.modules, "ase.units", None)
    with pytest.raises(InputError, match="needs 'ase'"):
        calculator(atoms, 300.0)


def test_water_by_tight_binding() -> None:
    pytest.importorskip("tblite.ase")
    from ase.build import molecule

    atoms = molecule("H2O")
    found = xtb(atoms, 300.0)
    assert (found.name, found.kinds, found.shape) == ("H2O", (8, 1, 1), (3, 3))
    x = torch.tensor(atoms.positions)[None] + 0.05 * Keys.of(1, 2).normal(3, 3)
    slope, step = slopes(found, x), 1e-3
    way = torch.nn.functional.normalize(Keys.of(2, 1).normal(3, 3).flatten(), dim=0).reshape(3, 3)
    difference = (found.energy(x + step * way) - found.energy(x - step * way)) / (2 * step)
    torch.testing.assert_close(difference, (slope * way).sum((1, 2)), rtol=1e-3, atol=1e-2)
    assert isfinite(found.energy(x)[0].item())


# What a user gets wrong -------------------------------------------------------------------------------

HEADER = "import torch\nfrom ornstein.domains.energies import System\n"
WRONG = {
    "raise RuntimeError('no licence')": "raised RuntimeError while it was imported: no licence",
    "def broken(": "raised SyntaxError",
    "mime = System('m', lambda x: x.square().sum(1), (2,), 1.0)": "has no 'mine', did you mean 'mime'",
    "": "has no 'mine', nor any other System",
    "mine = 3": "mine is a int, expected a System",
    "mine = System('m', lambda x: x.square().sum(), (2,), 1.0)": r"must be of shape \(5,\), found \(\)",
    "mine = System('m', lambda x: x.square(), (2,), 1.0)": r"must be of shape \(5,\), found \(5, 2\)",
    "mine = System('m', lambda x: 0.0, (2,), 1.0)": "found float",
    "mine = System('m', lambda x: x.sum(1).double(), (2,), 1.0)": "must be torch.float32, found torch.float64",
    "mine = System('m', lambda x: x.detach().sum(1), (2,), 1.0)": "not differentiable",
    "mine = System('m', lambda x: (-x.square().sum(1)).log(), (2,), 1.0)": "is NaN at each of 5 points",
    "mine = System('m', lambda x: (0 * x).sqrt().sum(1), (2,), 1.0)": "gradient of the energy is NaN",
    "mine = System('m', lambda x: x @ torch.ones(3), (2,), 1.0)": r"the energy of \(5, 2\) raised RuntimeError",
    "mine = System('m', lambda x: x.sum(1), (2,), 0.0)": "width is 0.0, expected a positive number",
    "mine = System('m', lambda x: x.sum(1), (2,), 1.0, centered=True)": r"expected \(points, dimension\)",
    "mine = System('m', lambda x: x.square().sum(1) / torch.rand(len(x), dtype=x.dtype), (2,), 1.0)": "it is random",
    "mine = System('m', lambda x: (x - x.mean(0)).square().sum(1), (2,), 1.0)": "the others of its batch",
    "mine = System('m', lambda x: x.square().sum(1).cumsum(0), (2,), 1.0)": "the others of its batch",
    "mine = System('m', lambda x: x.square().sum(1) / len(x), (2,), 1.0)": "the others of its batch",
    "mine = System('m', lambda x: x.square().sum(1) + torch.inf, (2,), 1.0)": "not a number at each of 500",
    "mine = System('m', lambda x: 0 * x.sum(1) + 3, (2,), 1.0)": "the energy is 3 at each of 500 points.*no integral",
    "mine = System('m', lambda x: x.sum(1) - torch.inf, (2,), 1.0)": "is -inf at a point",
    "mine = System('m', lambda x: (x if x.requires_grad else x.sub_(1)).square().sum(1), (2,), 1.0)": "in place",
    "import sys\nmine = System('m', lambda x: sys.exit(5), (2,), 1.0)": r"asked the program to exit: 5 \(.*, line 4\)",
    "mine = System('m', lambda x: 1 / 0, (2,), 1.0)": r"raised ZeroDivisionError: division by zero \(.*, line 3\)",
    "mine = System('m', lambda x: torch.ones(len(x), dtype=x.dtype, requires_grad=True), (2,), 1.0)": "not depend on x",
}


@pytest.mark.parametrize(("line", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_with_a_users_energy_is_said(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEADER + line)
    with pytest.raises(InputError, match=message) as error:
        system(f"{path}:mine")
    assert str(path) in str(error.value)


FIELDS: dict[str, Any] = {"name": "m", "energy": torch.sum, "shape": (2,), "width": 1.0, "centered": False, "kinds": ()}
ILL = {
    "text for a width": ({"width": "3"}, "width is '3', expected a positive number"),
    "no width": ({"width": None}, "width is None"),
    "an infinite width": ({"width": float("inf")}, "width is inf"),
    "true for a width": ({"width": True}, "width is True"),
    "a number for a shape": ({"shape": 2}, r"shape is 2, expected that of one sample, such as \(2,\)"),
    "no shape": ({"shape": ()}, r"shape is \(\), expected that of one sample"),
    "a negative side": ({"shape": (-2, 3)}, r"shape is \(-2, 3\)"),
    "a broken side": ({"shape": (2.5,)}, r"shape is \(2.5,\)"),
    "text for a shape": ({"shape": "2"}, "shape is '2'"),
    "no energy": ({"energy": 3.0}, "energy is a float, expected a function"),
    "kinds too few": ({"shape": (3, 2), "kinds": (1, 2)}, "kinds are 2, expected one for each of 3 particles"),
}


@pytest.mark.parametrize("name", ILL)
def test_fields_of_the_wrong_kind_are_named(name: str) -> None:
    wrong, message = ILL[name]
    require_sense(SimpleNamespace(**FIELDS))
    with pytest.raises(InputError, match=f"^m: {message}"):
        require_sense(SimpleNamespace(**{**FIELDS, **wrong}))


def test_a_box_and_a_narrow_well_are_densities() -> None:
    """They are flat, or infinite, at most of the points at which a constant or an impossible energy is found out."""
    box = lambda x: torch.where(x.abs().amax(1) < 2, 0 * x.sum(1), torch.inf)  # noqa: E731
    check(System("box", box, (2,), 0.8))
    check(System("well", lambda x: torch.where(x[:, 0] > 1.5, x.square().sum(1), torch.inf), (2,), 1.0))
    for make in systems.values():
        check(make())


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such system.*did you mean 'gmm-40'"):
        system("gmm40")
    with pytest.raises(InputError, match=r"none\.py: no such Python file"):
        system(f"{tmp_path}/none.py:mine")


def test_a_users_energy(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEADER + "rate = 3.0\ndef energy(x): return rate * x.square().sum(1)\n")
    with path.open("a") as file:
        file.write("mine = System('mine', energy, (2,), 1.0)\n")
    found = system(f"{path}:mine")
    assert found.energy(torch.ones(4, 2)).tolist() == [6.0] * 4  # its globals outlive the file's execution


def test_the_network_fits_the_system() -> None:
    metadata = {"shape": [4, 2], "centered": True, "kinds": [1, 1, 2, 2]}
    assert isinstance(build(NetworkConfig(), metadata), ParticleNetwork)
    assert isinstance(build(NetworkConfig("mlp"), metadata), MLP)
    assert isinstance(build(NetworkConfig(), {"shape": [2], "centered": False}), MLP)
    with pytest.raises(InputError, match=r"samples are of shape \(2,\)"):
        build(NetworkConfig("particles"), {"shape": [2]})

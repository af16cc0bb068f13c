"""The flow against closed forms: waves, the instability that feeds it, its budgets, the order of its time steps."""

from dataclasses import replace
from math import log2, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein.domains.weather.worlds.quasigeostrophic import TwoLayer, truncated

CALM = TwoLayer(n=16, wind=(0.0, 0.0), drag=0.0, filtered=False)


def wave(model: TwoLayer, east: int, north: int, amplitudes: Tensor) -> Tensor:
    """ψ with one wave of these numbers around the domain, of these complex amplitudes in the layers."""
    psi = torch.zeros(2, model.n, model.n // 2 + 1, dtype=torch.complex128)
    psi[:, north, east] = amplitudes.to(torch.complex128)
    return psi


def some(model: TwoLayer, share: float = 1 / 3) -> Tensor:
    """A flow of waves up to a share of the grid's, of which a third has products that the grid still carries: q."""
    noise = torch.randn(2, model.n, model.n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    reach = 2 * torch.pi / model.size * model.n * share
    return model.waves(noise) * ((model.k < reach) & (model.l.abs() < reach) & (model.k2 > 0))


def mean(model: TwoLayer, a: Tensor, b: Tensor) -> Tensor:
    return (model.grid(a) * model.grid(b)).mean((-2, -1))


@pytest.mark.parametrize(("layers", "stretching"), [((1.0, 1.0), 0.0), ((1.0, -1.0), 1.0)])
@pytest.mark.parametrize(("east", "north"), [(1, 0), (2, 3), (3, -2)])
def test_rossby_waves_have_their_phase_speed(
    layers: tuple[float, float], stretching: float, east: int, north: int
) -> None:
    """ω = Uk − βk / (k² + l² + stretching), 2F of the baroclinic mode and 0 of the barotropic one."""
    model = replace(CALM, wind=(0.7, 0.7))
    k, m = (2 * np.pi * number / model.size for number in (east, north))
    frequency = 0.7 * k - model.beta * k / (k**2 + m**2 + stretching)
    psi = wave(model, east, north, torch.tensor(layers))
    found = model.streamfunction(model.run(model.potential(psi), 2.0))
    assert (found - psi * np.exp(-2j * frequency)).abs().max() < 5e-4
    assert (found - psi * np.exp(2j * frequency)).abs().max() > 0.05


@pytest.mark.parametrize("east", [1, 2, 3, 4])
def test_phillips_instability_grows_as_it_must(east: int) -> None:
    """Without β and drag: σ = ½ k (U₁ − U₂) √((2F − k²) / (2F + k²)), 0 of waves with k² > 2F."""
    model = replace(CALM, beta=0.0, wind=(1.2, 0.2), size=6 * np.pi)
    k = 2 * np.pi * east / model.size
    expected = 0.5 * k * sqrt(max((1 - k**2) / (1 + k**2), 0.0))
    rate, vector = fastest(model, k)
    assert rate == pytest.approx(expected, abs=1e-7)
    assert grown(model, east, vector) == pytest.approx(expected, abs=1e-4)


def test_with_beta_and_drag_it_grows_as_the_eigenvalue_says() -> None:
    model = TwoLayer(n=16, filtered=False)
    rate, vector = fastest(model, 2 * np.pi * 3 / model.size)
    assert rate > 0.05
    assert grown(model, 3, vector) == pytest.approx(rate, abs=1e-4)
    assert grown(replace(model, drag=0.4), 3, vector) != pytest.approx(rate, abs=1e-3)


def fastest(model: TwoLayer, k: float) -> tuple[float, Tensor]:
    """The largest growth rate of a wave with l = 0, from the 2 × 2 equations of ψ written out, and its eigenvector."""
    F, shear = model.coupling, model.wind[0] - model.wind[1]
    of_psi = np.array([[-(k**2) - F, F], [F, -(k**2) - F]])
    gradients = np.diag([model.beta + F * shear, model.beta - F * shear])
    change = -1j * k * (np.diag(model.wind) @ of_psi + gradients) + model.drag * k**2 * np.diag([0, 1])
    rates, vectors = np.linalg.eig(np.linalg.solve(of_psi.astype(complex), change))
    growth = np.real(rates)
    at = growth.argmax()
    return float(growth[at]), torch.from_numpy(vectors[:, at])


def grown(model: TwoLayer, east: int, vector: Tensor, time: float = 2.0) -> float:
    """The growth rate of a small wave in a run."""
    start = model.potential(wave(model, east, 0, 1e-6 * vector))
    return float((model.run(start, time)[:, 0, east].abs() / start[:, 0, east].abs()).log().mean() / time)


def test_energy_comes_from_the_shear_and_goes_into_the_ground() -> None:
    """dE/dt = F (U₁ − U₂) ⟨ψ₁ ∂ψ₂/∂x⟩ − r ⟨|∇ψ₂|²⟩."""
    model = TwoLayer(n=32, filtered=False)
    state = some(model)
    psi = model.streamfunction(state)
    found = -mean(model, psi, model.tendency(state)).sum()
    shear = model.coupling * mean(model, psi[0], 1j * model.k * psi[1])
    drag = model.drag * mean(model, psi[1], model.vorticity(state)[1])
    assert found == pytest.approx(float(shear + drag), rel=1e-10)
    later, _ = model.step(state)
    assert (model.energy(later) - model.energy(state)) / model.dt == pytest.approx(float(found), rel=0.05)


def test_enstrophy_of_a_layer_comes_from_its_gradient() -> None:
    """d/dt ½⟨q²⟩ = −Q_j ⟨q_j ∂ψ_j/∂x⟩ − δ_{j2} r ⟨q₂ ∇²ψ₂⟩."""
    model = TwoLayer(n=32, filtered=False)
    state = some(model)
    psi = model.streamfunction(state)
    expected = -torch.tensor([0.35 + 0.5, 0.35 - 0.5], dtype=torch.float64) * mean(model, state, 1j * model.k * psi)
    expected[1] -= model.drag * mean(model, state[1], model.vorticity(state)[1])
    assert mean(model, state, model.tendency(state)).numpy() == pytest.approx(expected.numpy(), rel=1e-10)


def test_without_shear_and_drag_nothing_is_lost() -> None:
    model = replace(CALM, n=32, dt=0.002, beta=0.0)
    state = 10 * some(model, 1 / 8)
    later = model.run(state, 0.1)
    assert model.energy(later) == pytest.approx(float(model.energy(state)), rel=1e-5)
    assert model.enstrophy(later).numpy() == pytest.approx(model.enstrophy(state).numpy(), rel=1e-4)
    assert (later - state).abs().max() > 0.05 * state.abs().max()
    short, filtered = 10 * some(model), replace(model, filtered=True)
    assert filtered.enstrophy(filtered.run(short, 0.1)).sum() < 0.99 * model.enstrophy(short).sum()


def test_time_steps_are_of_third_order_and_their_start_of_second() -> None:
    """Of a wave whose earlier tendencies are known the error falls with dt³; begun with Euler's step, with dt²."""
    assert order(known=True) == pytest.approx(3, abs=0.1)
    assert order(known=False) == pytest.approx(2, abs=0.1)


def order(known: bool) -> float:
    errors = [error(replace(CALM, dt=dt), known) for dt in (0.1, 0.05)]
    return log2(errors[0] / errors[1])


def error(model: TwoLayer, known: bool) -> float:
    k = 2 * np.pi * 2 / model.size
    frequency = -model.beta * k / (k**2 + 1)
    q = model.potential(wave(model, 2, 0, torch.tensor([1.0, -1.0])))
    past = tuple(-1j * frequency * q * np.exp(1j * frequency * model.dt * back) for back in (1, 2) if known)
    state = q
    for _ in range(round(4 / model.dt)):
        state, past = model.step(state, past)
    return float((state - q * np.exp(-4j * frequency)).abs().max())


def test_potential_vorticity_and_streamfunction_are_inverse() -> None:
    model = TwoLayer(n=16)
    state = some(model)
    assert (model.potential(model.streamfunction(state)) - state).abs().max() < 1e-12


def test_truncation_keeps_what_the_coarse_grid_carries() -> None:
    fine, coarse = TwoLayer(n=32), TwoLayer(n=16)
    state = some(coarse)
    padded = torch.zeros(2, 32, 17, dtype=torch.complex128)
    padded[:, :8, :9], padded[:, -8:, :9] = state[:, :8], state[:, -8:]
    assert (fine.grid(padded)[:, ::2, ::2] - coarse.grid(state)).abs().max() < 1e-12
    assert truncated(padded, 16).equal(state)

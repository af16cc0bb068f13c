"""Two layers of quasi-geostrophic flow on a doubly periodic β-plane: the simplest weather that makes itself.

    q₁ = ∇²ψ₁ + F (ψ₂ − ψ₁),    q₂ = ∇²ψ₂ + F (ψ₁ − ψ₂)
    ∂q_j/∂t + J(ψ_j, q_j) + U_j ∂q_j/∂x + Q_j ∂ψ_j/∂x = −δ_{j2} r ∇²ψ₂,
    Q₁ = β + F (U₁ − U₂),       Q₂ = β − F (U₁ − U₂)

The upper layer is j = 1, x points east and y north. ψ is the streamfunction of the eddies and ζ = ∇²ψ their vorticity;
U_j is the mean zonal wind of a layer, whose shear feeds the eddies (baroclinic instability), Q_j the mean gradient of
potential vorticity, r the drag of the ground on the lower layer. The layers are equally deep; with F = ½ lengths are in
deformation radii, k_d = √(2F) = 1, speeds in U₁ − U₂ and times in their ratio.

Pseudo-spectral in space, Adams–Bashforth of third order in time (Euler and second order in the first two steps); after
each step an exponential filter takes what gathers at the grid scale Δ: exp(−23.6 (|k|Δ − 0.65π)⁴) beyond 0.65π.

N. A. Phillips (1954), Tellus 6, 273 (the model and its instability); D. B. Haidvogel & I. M. Held (1980), J. Atmos.
Sci. 37, 2644 (homogeneous turbulence of it); B. K. Arbic & G. R. Flierl (2004), J. Phys. Oceanogr. 34, 2257 (drag).
"""

from dataclasses import dataclass
from functools import cached_property
from math import pi

import torch
from jaxtyping import Complex, Float
from torch import Tensor

State = Complex[Tensor, "*batch layers=2 n half"]
"""Potential vorticity: Fourier coefficients of `rfft2(..., norm="forward")`, complex128."""
Past = tuple[State, ...]
"""Earlier tendencies, the latest first, at most two."""


@dataclass(frozen=True)
class TwoLayer:
    """A model of the flow.

    Attributes:
        n: grid points along x and y; the grid is x_i = i · size / n.
        size: of the domain, along x and y.
        wind: U₁ and U₂.
        beta: β.
        drag: r.
        coupling: F.
        dt: the time step.
        filtered: whether the filter is on; off, energy and enstrophy of a flow without drag and shear are kept.
    """

    n: int = 64
    size: float = 8 * pi
    wind: tuple[float, float] = (1.0, 0.0)
    beta: float = 0.35
    drag: float = 0.3
    coupling: float = 0.5
    dt: float = 0.0125
    filtered: bool = True

    @cached_property
    def k(self) -> Float[Tensor, "1 half"]:
        """Wavenumbers along x."""
        return 2 * pi * torch.fft.rfftfreq(self.n, self.size / self.n, dtype=torch.float64)[None]

    @cached_property
    def l(self) -> Float[Tensor, "n 1"]:  # noqa: E743
        """Wavenumbers along y."""
        return 2 * pi * torch.fft.fftfreq(self.n, self.size / self.n, dtype=torch.float64)[:, None]

    @cached_property
    def k2(self) -> Float[Tensor, "n half"]:
        """|k|²; the Laplacian is −|k|²."""
        return self.k**2 + self.l**2

    @cached_property
    def mean_gradients(self) -> Float[Tensor, "layers=2 1 1"]:
        """Q_j."""
        shear = self.wind[0] - self.wind[1]
        slopes = (self.beta + self.coupling * shear, self.beta - self.coupling * shear)
        return torch.tensor(slopes, dtype=torch.float64)[:, None, None]

    @cached_property
    def filter(self) -> Float[Tensor, "n half"]:
        """What a step leaves of each wave."""
        excess = (self.k2.sqrt() * self.size / self.n - 0.65 * pi).clamp(min=0.0)
        return torch.exp(-23.6 * excess**4) if self.filtered else torch.ones_like(excess)

    def streamfunction(self, state: State) -> State:
        """ψ of both layers; its mean, which moves nothing, is 0."""
        F, k2 = self.coupling, self.k2
        determinant = k2 * (k2 + 2 * F)
        determinant[0, 0] = torch.inf
        upper, lower = state[..., 0, :, :], state[..., 1, :, :]
        both = [-(k2 + F) * upper - F * lower, -F * upper - (k2 + F) * lower]
        return torch.stack(both, -3) / determinant

    def vorticity(self, state: State) -> State:
        """ζ = ∇²ψ of both layers."""
        return -self.k2 * self.streamfunction(state)

    def potential(self, streamfunction: State) -> State:
        """q of ψ: the inverse of `streamfunction`."""
        thickness = streamfunction.flip(-3) - streamfunction
        return -self.k2 * streamfunction + self.coupling * thickness

    def grid(self, waves: Complex[Tensor, "*shape n half"]) -> Float[Tensor, "*shape n n"]:
        """Values at the grid points, y first."""
        return torch.fft.irfft2(waves, s=(self.n, self.n), norm="forward")

    def waves(self, values: Float[Tensor, "*shape n n"]) -> Complex[Tensor, "*shape n half"]:
        """Fourier coefficients of values at the grid points."""
        return torch.fft.rfft2(values, norm="forward")

    def tendency(self, state: State) -> State:
        """∂q/∂t."""
        psi = self.streamfunction(state)
        u, v, q = self.grid(torch.stack([-1j * self.l * psi, 1j * self.k * psi, state])).unbind()
        wind = torch.tensor(self.wind, dtype=torch.float64)[:, None, None]
        along, across = self.waves(torch.stack([(u + wind) * q, v * q])).unbind()
        change = -1j * (self.k * along + self.l * across + self.mean_gradients * self.k * psi)
        change[..., 1, :, :] += self.drag * self.k2 * psi[..., 1, :, :]
        return change

    def step(self, state: State, past: Past = ()) -> tuple[State, Past]:
        """One time step: the state after it, and the tendencies that the next one needs."""
        now = self.tendency(state)
        weights = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))[len(past)]
        mean = sum(weight * one for weight, one in zip(weights, (now, *past), strict=True))
        return (state + self.dt * mean) * self.filter, (now, *past[:1])

    def run(self, state: State, time: float) -> State:
        """The state after a time, a whole number of steps, which begin anew with Euler's."""
        past: Past = ()
        for _ in range(round(time / self.dt)):
            state, past = self.step(state, past)
        return state

    def energy(self, state: State) -> Float[Tensor, "*batch"]:
        """½ ⟨|∇ψ₁|² + |∇ψ₂|² + F (ψ₁ − ψ₂)²⟩ = −½ ⟨ψ₁q₁ + ψ₂q₂⟩, the mean over the domain."""
        return -0.5 * self.mean_product(self.streamfunction(state), state).sum(-1)

    def enstrophy(self, state: State) -> Float[Tensor, "*batch layers=2"]:
        """½ ⟨q²⟩ of each layer."""
        return 0.5 * self.mean_product(state, state)

    def mean_product(
        self, a: Complex[Tensor, "*shape n half"], b: Complex[Tensor, "*shape n half"]
    ) -> Float[Tensor, "*shape"]:
        """⟨ab⟩ over the domain of two fields given by their coefficients."""
        return (self.grid(a) * self.grid(b)).mean((-2, -1))


def truncated(state: State, n: int) -> Complex[Tensor, "*batch layers=2 m rest"]:
    """The waves that a coarser grid of n × n points carries, those at its Nyquist wavenumber left out."""
    half = n // 2
    kept = torch.cat([state[..., :half, : half + 1], state[..., -half:, : half + 1]], -2)
    kept[..., half, :] = 0
    kept[..., :, half] = 0
    return kept

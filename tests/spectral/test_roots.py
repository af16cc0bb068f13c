"""Roots and determinants of fields' covariances against matrices."""

import pytest
import torch
from torch import Tensor

from ornstein.errors import InputError
from ornstein.spectral.roots import Downdated, Spectral, estimated, power_law, widened
from ornstein.spectral.transforms import Orthogonal, Separable, periodic

SHAPE = (6, 5)
SIZE = 30
EYE = torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)
AXES: list[tuple[str, ...]] = [
    ("fourier", "fourier"), ("sine", "cosine"), ("fourier", "sine"), ("cosine",), (), ("sine-cosine", "cosine-sine"),
    ("fourier", "cosine-sine"),
]  # fmt: skip


def matrix_of(function) -> Tensor:
    """Of a linear map, a column a basis vector."""
    return function(EYE).reshape(SIZE, SIZE).T


def close(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> bool:
    return bool((a - b).abs().max() < tolerance)


def conditioned(seed: int = 0) -> tuple[Spectral, Downdated, Tensor]:
    """A covariance, what is left of it after seven numbers, and that as a matrix."""
    generator = torch.Generator().manual_seed(seed)
    before = power_law(SHAPE, 3, periodic())
    prior = matrix_of(before)
    seen = torch.randn(7, SIZE, dtype=torch.float64, generator=generator)
    system = 0.1 * torch.eye(7, dtype=torch.float64) + seen @ prior @ seen.T
    after = before.less((seen @ prior).reshape(1, 7, *SHAPE), system.inverse()[None])
    return before, after, prior - prior @ seen.T @ system.inverse() @ seen @ prior


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_bases_are_orthonormal(axes: tuple[str, ...]) -> None:
    basis = Separable(axes)
    waves = matrix_of(basis.forward)
    assert close(waves @ waves.T, torch.eye(SIZE, dtype=torch.float64))
    assert close(matrix_of(basis.inverse), waves.T)


@pytest.mark.parametrize("basis", [Separable(("cosine", "sine")), Orthogonal(torch.linalg.qr(torch.randn(40, 40))[0])])
def test_waves_keep_their_precision_where_networks_do_not(basis: Separable | Orthogonal) -> None:
    """A training in bfloat16 is judged under autocast; a spectrum spans more orders than that has digits."""
    x = torch.linspace(-1, 1, 80).reshape(2, 5, 8) ** 3
    with torch.autocast("cpu", torch.bfloat16):
        found = basis.forward(x)
        assert (x[0] @ x[0].T).dtype == torch.bfloat16
    assert torch.equal(found, basis.forward(x))


def test_waves_along_each_axis_solve_the_laplacian_of_their_border() -> None:
    """Second differences with the border that a word stands for are diagonal in its waves."""
    n = 7
    line = 2 * torch.eye(n, dtype=torch.float64) - torch.diag(torch.ones(n - 1).double(), 1)
    line = line - torch.diag(torch.ones(n - 1).double(), -1)
    closed, mirrored = line.clone(), line.clone()
    closed[0, -1] = closed[-1, 0] = -1
    mirrored[0, 0] = mirrored[-1, -1] = 1
    low, high = line.clone(), line.clone()
    low[0, 0] = high[-1, -1] = 1
    each = {"sine": line, "fourier": closed, "cosine": mirrored, "cosine-sine": low, "sine-cosine": high}
    for word, second in each.items():
        waves = Separable((word,)).forward(torch.eye(n, dtype=torch.float64))
        diagonal = waves.T @ second @ waves
        expected = (2 * torch.pi * Separable((word,)).frequencies((n,))).cos().mul(-2).add(2)
        assert close(diagonal, torch.diag(expected)), word


def test_a_power_law_is_stationary_and_as_steep_as_said() -> None:
    cov = power_law((64, 64), 3, periodic(), std=2.0)
    assert close(matrix_of(power_law(SHAPE, 3, periodic())).diagonal(), torch.ones(SIZE, dtype=torch.float64))
    k = periodic().frequencies((64, 64))
    fine = (k > 0.2) & (k < 0.4)
    slope = torch.stack([k[fine].log(), torch.ones_like(k[fine])], 1)
    steepness = torch.linalg.lstsq(slope, cov.variance[0][fine].log()[:, None]).solution[0].item()
    assert abs(steepness + 3) < 0.02


def test_a_spectrum_is_found_in_data() -> None:
    cov = power_law((16, 16), 3, periodic())
    fields = cov.root(torch.randn(4000, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    ratio = estimated(fields, periodic()).variance / cov.variance
    assert (ratio.log().abs() < 6 * (2 / 4000) ** 0.5).all()
    assert (ratio.mean() - 1).abs() < 0.01


def test_what_is_left_has_the_root_and_the_determinant_of_its_matrix() -> None:
    _, after, matrix = conditioned()
    root = matrix_of(after.root)
    assert close(matrix_of(after), matrix)
    assert close(root @ root.T, matrix)
    assert close(matrix_of(after.root_transposed), root.T)
    assert close(matrix_of(lambda x: after.whiten(after.root(x))), torch.eye(SIZE, dtype=torch.float64))
    assert close(after.log_det, torch.linalg.slogdet(matrix).logabsdet)


def test_conditioning_twice_is_conditioning_on_both() -> None:
    before, _, _ = conditioned()
    prior = matrix_of(before)
    seen = torch.randn(9, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    left: Spectral | Downdated = before
    for part in (seen[:4], seen[4:]):
        cov = matrix_of(left)
        system = 0.2 * torch.eye(len(part), dtype=torch.float64) + part @ cov @ part.T
        left = left.less((part @ cov).reshape(1, -1, *SHAPE), system.inverse()[None])
    system = 0.2 * torch.eye(9, dtype=torch.float64) + seen @ prior @ seen.T
    assert close(matrix_of(left), prior - prior @ seen.T @ system.inverse() @ seen @ prior)


@pytest.mark.parametrize("coloured", [False, True])
def test_noise_of_one_basis_is_added_with_its_root(coloured: bool) -> None:
    before, after, matrix = conditioned()
    noise = before.power(0.5) if coloured else None
    added = matrix_of(noise) if noise is not None else torch.eye(SIZE, dtype=torch.float64)
    total, expected = widened(after, noise, 0.3, 0.5), 0.09 * added + 0.25 * matrix
    assert total is not None
    root = matrix_of(total.root)
    assert close(root @ root.T, expected)
    assert close(total.log_det, torch.linalg.slogdet(expected).logabsdet)


def test_noise_of_another_basis_has_no_root() -> None:
    assert widened(conditioned()[1], power_law(SHAPE, 3, Separable(("sine", "sine"))), 0.3, 0.5) is None


def test_times_may_differ_from_sample_to_sample() -> None:
    before, _, _ = conditioned()
    total = widened(before, None, torch.tensor([0.3, 0.2]).double(), torch.tensor([0.5, 1.0]).double())
    assert total is not None
    assert total.batch == 2
    one = widened(before, None, torch.tensor([0.2]).item(), 1.0)
    assert one is not None
    assert close(total.log_det[1], one.log_det[0])
    gain = torch.randn(1, 3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 0.01
    each = total.less(gain.expand(2, -1, -1, -1), torch.eye(3).double().expand(2, 3, 3))
    alone = one.less(gain, torch.eye(3).double()[None])
    assert close(each.log_det[1], alone.log_det[0])


@pytest.mark.parametrize(
    ("variance", "message"),
    [
        (torch.ones(4, 4).index_fill(0, torch.tensor([1]), 0.0), r"element \(1, 0\) is 0.0"),
        (torch.full((4, 4), torch.nan), "is nan"),
        (-torch.ones(4, 4), "positive finite variance"),
        (torch.ones(4), "does not fit"),
    ],
)
def test_a_wrong_spectrum_is_named(variance: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Spectral.of(variance, periodic())


def test_wrong_bases_are_named() -> None:
    with pytest.raises(InputError, match="axis 'wavelet' is unknown"):
        Separable(("wavelet",))
    with pytest.raises(InputError, match="not orthonormal"):
        Orthogonal(torch.ones(3, 3))
    with pytest.raises(InputError, match=r"does not fit \(4, 4\)"):
        power_law(SHAPE, 3, periodic())(torch.zeros(2, 4, 4))


def test_a_basis_of_the_users_own() -> None:
    matrix = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(5)).double()).Q
    cov = Spectral.of(torch.rand(SHAPE, generator=torch.Generator().manual_seed(6)) + 0.1, Orthogonal(matrix))
    assert close(matrix_of(cov), matrix * cov.variance[0].flatten() @ matrix.T)

"""Conjugate gradients and Lanczos determinants against dense algebra: preconditioned, batched, seldom looked at."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ornstein.errors import InputError
from ornstein.guidance import krylov
from ornstein.guidance.krylov import (
    Solution,
    conjugate_gradients,
    formed_log_determinant,
    log_determinant,
    signs,
)
from worlds import F64, assert_close, rejected


def spd(seed: int, m: int, spread: float = 1e3, batch: int = 1) -> Tensor:
    """Positive definite matrices whose eigenvalues run from 1 to 1 + spread."""
    random = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(batch, m, m, dtype=F64, generator=random)).Q
    values = 1 + spread * torch.rand(batch, m, dtype=F64, generator=random) ** 4
    return axes * values[:, None] @ axes.mT


def product(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda u: torch.einsum("bij,bj->bi", matrix.expand(len(u), -1, -1), u)


def right(batch: int, m: int, seed: int = 9) -> Tensor:
    return torch.randn(batch, m, dtype=F64, generator=torch.Generator().manual_seed(seed))


def near(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """An inverse of what is like the matrix: half of it, half of its mean eigenvalue."""
    mean = matrix.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    return product((0.7 * matrix + 0.3 * mean * torch.eye(matrix.shape[-1]).to(matrix)).inverse())


def assert_solved(found: Solution, matrix: Tensor, b: Tensor, tolerance: float) -> None:
    residual = (b - product(matrix)(found.x)).norm(dim=1) / b.norm(dim=1)
    assert (residual <= tolerance).all(), f"left {residual.tolist()}, asked for {tolerance}"
    assert_close(found.residual, residual, 1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 99), st.booleans(), st.sampled_from([None, 1, 3, 8]))
def test_systems_of_any_size_are_solved(m: int, batch: int, seed: int, helped: bool, every: int | None) -> None:
    matrix, b = spd(seed, m, batch=batch), right(batch, m, seed)
    found = conjugate_gradients(product(matrix), b, 1e-8, 400, near(matrix) if helped else None, every)
    assert_solved(found, matrix, b, 1e-8)
    assert not found.capped.any()


def test_the_residual_counts_and_not_its_preconditioned_norm() -> None:
    """A broken twin that is content when P r is small stops early where P damps what is left."""
    values = torch.logspace(0, 5, 30, dtype=F64)
    matrix, b = torch.diag(values)[None], torch.ones(1, 30, dtype=F64)

    def damped(r: Tensor) -> Tensor:
        return r * values**-2

    assert_solved(conjugate_gradients(product(matrix), b, 1e-6, 400, damped), matrix, b, 1e-6)
    root = values**-1
    twin = conjugate_gradients(lambda u: root * product(matrix)(root * u), root * b, 1e-6, 400)
    x = root * twin.x
    residual = (b - product(matrix)(x)).norm(dim=1) / b.norm(dim=1)
    rejected(assert_solved, Solution(x, x, residual, twin.capped, twin.iterations, x), matrix, b, 1e-6)


def test_a_preconditioner_spares_iterations() -> None:
    matrix, b = spd(1, 200, 1e4), right(2, 200)
    plain, helped = (conjugate_gradients(product(matrix), b, 1e-6, 500, p) for p in (None, near(matrix)))
    assert helped.iterations < 0.7 * plain.iterations, f"{helped.iterations} of {plain.iterations}"


def test_one_that_changes_from_iteration_to_iteration_does_too() -> None:
    """An inner solve of low precision is no linear map."""
    matrix, b = spd(1, 200, 1e4), right(2, 200)
    close = product(0.8 * matrix + 0.2 * torch.eye(200, dtype=F64))
    found = conjugate_gradients(product(matrix), b, 1e-6, 100, lambda r: conjugate_gradients(close, r, 0.1, 50).last)
    assert_solved(found, matrix, b, 1e-6)
    assert found.iterations < 20


def test_samples_that_are_done_stay_as_they_are() -> None:
    matrix = torch.cat([spd(2, 30, 1.0), spd(3, 30, 1e4)])
    b, most = right(2, 30), 300
    both = conjugate_gradients(product(matrix), b, 1e-6, most)
    alone = conjugate_gradients(product(matrix[:1]), b[:1], 1e-6, most)
    assert alone.iterations < both.iterations
    assert_close(both.x[:1], alone.x, 1e-14)


class Looks:
    """How often the host asks a tensor whether anything of it is true."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        for name in ("any", "all", "item", "__bool__", "tolist"):
            monkeypatch.setattr(Tensor, name, self._counting(getattr(Tensor, name)))

    def _counting(self, asked: Any) -> Any:
        def counted(tensor: Tensor, *args: Any, **options: Any) -> Any:
            self.taken += asked is not Tensor.any
            return asked(tensor, *args, **options)

        return counted


def assert_seldom(looks: Looks, run: Callable[[], Solution], every: int) -> None:
    before, found = looks.taken, run()
    taken = looks.taken - before
    assert found.iterations > 20
    # one look is a truth value, and one of its `any` on the way there
    assert taken <= 2 * (found.iterations // every + 2), f"{taken} looks in {found.iterations} iterations"


def test_the_host_looks_every_few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, b = spd(4, 60, 1e4), right(3, 60)

    def run(every: int | None) -> Solution:
        return conjugate_gradients(product(matrix), b, 1e-8, 200, every=every)

    plain, seldom = run(None), run(8)
    assert_close(plain.x, seldom.x, 1e-14)
    assert plain.iterations <= seldom.iterations < plain.iterations + 8
    looks = Looks(monkeypatch)
    assert_seldom(looks, lambda: run(8), 8)
    rejected(assert_seldom, looks, lambda: run(1), 8)


def test_on_an_accelerator_that_is_so_by_itself() -> None:
    assert krylov.EVERY > 1
    b = right(2, 8).to("meta")
    with pytest.raises(RuntimeError, match="meta"):  # the first look, before any product, of numbers that are not there
        conjugate_gradients(lambda u: u, b, 1e-6, 10)


def test_a_cap_is_reported() -> None:
    matrix, b = spd(5, 60, 1e4), right(2, 60)
    short = conjugate_gradients(product(matrix), b, 1e-8, 5)
    assert short.capped.all()
    assert short.iterations == 5
    assert (short.residual > 1e-8).all()


def test_nothing_is_asked_of_nothing() -> None:
    found = conjugate_gradients(product(spd(5, 6)), torch.zeros(2, 6, dtype=F64), 1e-8, 5)
    assert found.iterations == 0
    assert (found.x == 0).all()
    assert (found.residual == 0).all()


@pytest.mark.parametrize(
    ("preconditioner", "sentence"),
    [
        (lambda r: -r, "the preconditioner is not positive: r · P r is -"),
        (lambda r: r * torch.nan, "the preconditioner is not positive: r · P r is nan"),
        (lambda r: 0 * r, "the preconditioner is not positive: r · P r is 0 "),
        (lambda r: r[:, :3], r"the preconditioner gives \(3,\), expected \(6,\)"),
        (lambda r: None, "the preconditioner gives a NoneType"),
    ],
)
def test_a_preconditioner_that_is_none_is_named(preconditioner: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        conjugate_gradients(product(spd(6, 6)), right(2, 6), 1e-8, 50, preconditioner)


# Determinants -----------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(1, 3), st.integers(0, 99))
def test_all_columns_are_the_determinant(m: int, batch: int, seed: int) -> None:
    matrix = spd(seed, m, batch=batch)
    found = formed_log_determinant(product(matrix), right(batch, m))
    assert_close(found.log_det, torch.linalg.slogdet(matrix).logabsdet, 1e-8)
    assert (found.error == 0).all()


def assert_within_its_error(estimate: Callable[[Tensor], Any], sigmas: float = 4.0) -> None:
    """Over 25 systems no error is larger than so many stated ones, and they are of their size."""
    scaled = []
    for seed in range(25):
        matrix = spd(seed, 60, 30.0)
        found = estimate(matrix)
        scaled.append(float((found.log_det - torch.linalg.slogdet(matrix).logabsdet) / found.error))
    worst, size = max(map(abs, scaled)), (sum(z**2 for z in scaled) / 25) ** 0.5
    assert worst < sigmas, f"off by {worst:.1f} stated errors"
    assert 0.3 < size < 1.4, f"stated errors of {1 / size:.1f} times their size"


def test_an_estimated_determinant_is_within_its_error() -> None:
    b = right(1, 60)
    assert_within_its_error(lambda matrix: log_determinant(product(matrix), signs(b, 4), b, 20))
    rejected(
        assert_within_its_error, lambda matrix: log_determinant(product(1.2 * matrix), signs(b, 4), b, 20)
    )  # a system that is none


def test_in_a_metric_of_its_own() -> None:
    """log det S = log det B + log det B⁻¹S: S is symmetric in no metric but B, and the second is small."""
    matrix, b = spd(1, 80, 1e4), right(2, 80)
    like = 0.9 * matrix + 0.1 * torch.eye(80, dtype=F64)
    root = torch.linalg.cholesky(like)
    probes = torch.linalg.solve_triangular(root.mT, signs(b, 6)[:, 0].T[None], upper=True)[0].T[:, None]
    inverse, metric = product(like.inverse()), product(like)
    found = log_determinant(lambda u: inverse(product(matrix)(u)), probes, b, 10, metric)
    expected = torch.linalg.slogdet(matrix).logabsdet - torch.linalg.slogdet(like).logabsdet
    plain = log_determinant(product(matrix), signs(b, 6), b, 10)
    assert (found.error < 0.1 * plain.error).all()
    assert ((found.log_det - expected).abs() <= 3 * found.error + 1e-8).all()


def test_the_determinant_of_a_multiple_of_the_identity_is_exact() -> None:
    b = right(3, 50)
    found = log_determinant(lambda u: 3.0 * u, signs(b, 1), b, 5)
    assert_close(found.log_det, 50 * torch.tensor(3.0, dtype=F64).log().expand(3), 1e-10)
    assert (found.error < 1e-10).all()


def test_the_probes_are_the_same_for_every_sample_and_at_every_call() -> None:
    matrix = spd(7, 50, 100.0)
    b = right(3, 50)
    found = log_determinant(product(matrix), signs(b, 2), b, 10).log_det
    assert (found == found[0]).all()
    assert signs(b, 2).equal(signs(b[:1], 2))
    assert not signs(b, 2).equal(signs(b, 2, "others"))

"""Conformance checks for parts of your own: a schedule, a space, a denoiser, a kernel, an operator, a map, a factor.

    from ornstein.testing import check_space
    assert check_space(MySpace(), some_clean_data) == 25

Each check raises AssertionError with the sentence that does not hold, and returns how many sentences it
verified: a test should assert that number too, so that a check that came to check nothing is noticed.
"""

from .denoisers import check_denoiser, check_kernel
from .factors import check_factor, check_operator
from .maps import check_map
from .spaces import check_schedule, check_space

__all__ = [
    "check_denoiser",
    "check_factor",
    "check_kernel",
    "check_map",
    "check_operator",
    "check_schedule",
    "check_space",
]

"""What a command that computes nothing must not load: each of these costs a second or more."""

import subprocess
import sys

import pytest
import torch

from ornstein.keys import constant

HEAVY = ("torch._dynamo", "sklearn", "lightning_fabric", "diffusers")


def loaded(code: str) -> list[str]:
    """Which of the heavy modules a fresh interpreter has loaded after running `code`."""
    program = f"import sys\n{code}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("domain", ["images/digits", "molecules/qm9", "sequences/riboswitch", "energies/gmm-40"])
def test_the_help_of_a_model_loads_only_what_it_needs(domain: str) -> None:
    code = f"""
import contextlib, io
from ornstein import cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    cli.main(["sample", "{domain}", "--help"])"""
    assert not loaded(code)


def test_what_is_loaded_is_seen() -> None:
    assert loaded("import torch._dynamo") == ["torch._dynamo"]


def test_the_mark_of_constants_is_the_compilers() -> None:
    mine, torchs = constant(lambda: 1), torch.compiler.assume_constant_result(lambda: 1)
    assert vars(mine) == vars(torchs) != {}

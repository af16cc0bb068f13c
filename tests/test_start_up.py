"""What a command that computes nothing must not load: each of these costs a second or more."""

import subprocess
import sys

import torch

from ornstein.keys import constant

HEAVY = (
    *("torch._dynamo", "sklearn", "lightning_fabric", "diffusers", "rdkit", "ase", "matplotlib", "scipy", "pandas"),
    *("posebusters", "tblite", "RNA", "arviz_stats"),
)


def loaded(code: str, also: tuple[str, ...] = ()) -> list[str]:
    """Which of the heavy modules, and of others, a fresh interpreter has loaded after running `code`."""
    program = f"import sys\n{code}\nprint(*[name for name in {HEAVY + also} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def run(*commands: str) -> str:
    """A program that runs commands one after the other and prints nothing of what they say."""
    return f"""
import contextlib, io
from ornstein import cli
for command in {commands}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            cli.main(command.split())"""


MODELS = ("images/digits", "molecules/qm9", "sequences/riboswitch", "energies/gmm-40")


def test_commands_that_compute_nothing_load_only_what_they_need() -> None:
    helps = [f"{command} {model} --help" for model in MODELS for command in ("sample", "train")]
    assert not loaded(run(*helps, "models", *(f"show {model}" for model in MODELS), "sample images/digitz"))


def test_commands_that_need_no_model_do_without_torch() -> None:
    commands = ("tour", "data", "train", "sample", "evaluate", "show", "trust", "merge", "models", "doctor")
    helps = [f"{command} --help" for command in commands]
    assert not loaded(
        run("--help", "--version", "samle images/digits", *helps), also=("torch", "numpy", "rich.console")
    )


def test_what_is_loaded_is_seen() -> None:
    assert loaded("import torch._dynamo") == ["torch._dynamo"]


def test_the_mark_of_constants_is_the_compilers() -> None:
    mine, torchs = constant(lambda: 1), torch.compiler.assume_constant_result(lambda: 1)
    assert vars(mine) == vars(torchs) != {}

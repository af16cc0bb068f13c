"""Files that are almost molecules or proteins are read or refused, whatever stands in them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_molecules import made

from fuzz import mutations, require_clean
from ornstein import InputError
from ornstein.domains.molecules import data
from ornstein.domains.molecules.chemistry.files import write_sdf, write_xyz
from ornstein.domains.molecules.chemistry.pockets import read_pocket

NAMES = ("CH4", "H2O", "HCONH2")
PDB = """SEQRES   1 A    2  GLY MSE
MODEL        1
ATOM      1  N   GLY A   1      -1.200   5.000   0.000  1.00 20.00           N
ATOM      2  CA AGLY A   1      -2.200   5.900   0.000  0.40 20.00           C
ATOM      3  CA BGLY A   1      -2.300   5.800   0.100  0.60 20.00           C
HETATM    4 SE   MSE A   2       0.700   9.000   0.000  1.00 20.00          SE
HETATM    5  C1  STI A 201       4.000   0.000   0.000  1.00 20.00           C
HETATM    6  O1  STI A 201       4.000   1.200   0.000  1.00 20.00           O
HETATM    7 ZN    ZN A 301      -4.000   0.000   0.000  1.00 20.00          ZN
ENDMDL
END
"""
Fuzzed = tuple[bytes, Callable[[bytes], object]]


def learned(path: Path) -> Callable[[bytes], object]:
    """As a training reads them, split and standardised."""

    def load(content: bytes) -> None:
        path.write_bytes(content)
        data.load.__wrapped__(str(path))

    return load


def sdf(folder: Path) -> Fuzzed:
    path = folder / "a.sdf"
    write_sdf(path, [made(name) for name in NAMES], [{"gap": 1.5 * k, "mu": 2.0} for k in range(3)])
    return path.read_bytes(), learned(path)


def xyz(folder: Path) -> Fuzzed:
    path = folder / "a.xyz"
    write_xyz(path, [made(name) for name in NAMES[:2]])
    raw = "\t".join(["2\ngdb 9", *["1.5"] * 15]) + "\nH 0 0 0 .1\nF 0 0 9.2*^-1 -.1\n4000.\nF\tF\nInChI=1S/FH/h1H\tx\n"
    return path.read_bytes() + raw.encode() + b"2\n0 1\n1 0 0 0\n9 0 0 .92\n", learned(path)


def pdb(folder: Path) -> Fuzzed:
    path = folder / "a.pdb"

    def load(content: bytes) -> None:
        path.write_bytes(content)
        read_pocket(path)

    return PDB.encode(), load


@pytest.mark.parametrize("made_of", [sdf, xyz, pdb])
@pytest.mark.parametrize("n", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_almost_right_files_are_read_or_refused(made_of: Callable[[Path], Fuzzed], n: int, tmp_path: Path) -> None:
    right, load = made_of(tmp_path)
    load(right)
    with pytest.raises(InputError):
        load(b"")
    accepted, refused = require_clean(load, mutations(right, n, seed=n))
    assert min(accepted, refused) > n // 20

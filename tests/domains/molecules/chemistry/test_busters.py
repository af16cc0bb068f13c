"""PoseBusters passes what is plausible, and its absence is said."""

import sys

import pytest
from small_molecules import SMILES, made

from ornstein import InputError
from ornstein.domains.molecules.chemistry.busters import passing
from ornstein.domains.molecules.chemistry.perception import perceived


def test_squeezed_molecules_fail() -> None:
    pytest.importorskip("posebusters")
    mols = [mol for name in SMILES if (mol := perceived(made(name)))]
    assert passing(mols) == 1
    squeezed = mols[2]
    squeezed.GetConformer().SetPositions(0.6 * squeezed.GetConformer().GetPositions())
    assert passing([squeezed, mols[3]]) == 0.5


def test_its_absence_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "posebusters", None)
    with pytest.raises(InputError, match="pip install posebusters"):
        passing([])

"""python tools/cut_molecules.py: cuts what comes along of QM9 from the package `qm9pack`.

qm9-sample.npz: the first 3,000 molecules of EDM's test part, for tests and as held-out molecules. qm9-known.txt.xz: the
SMILES of the 100,000 learned from, without stereochemistry, as RDKit writes them, for novelty.
"""

import lzma
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ornstein.domains.molecules import data
from ornstein.domains.molecules.chemistry.perception import smiles_of


def main() -> None:
    learned, _, test = data.split_qm9(data.qm9())
    test[np.arange(3000)].save(data.SAMPLE)
    package = find_spec("qm9pack")
    assert package is not None
    folder = Path(next(iter(package.submodule_search_locations or ()))) / "data"
    columns = [pandas.read_csv(folder / part, usecols=["SMILES"])["SMILES"] for part in data.PARTS]
    texts = np.concatenate(columns)[np.random.RandomState(0).permutation(data.TOTAL)[: len(learned)]]
    with BlockLogs():
        mols = [Chem.MolFromSmiles(text) for text in texts]
    known = sorted({smiles_of(mol) for mol in mols if mol})
    data.KNOWN.write_bytes(lzma.compress("\n".join(known).encode(), preset=9))
    print(f"{data.SAMPLE.stat().st_size} bytes, {data.KNOWN.stat().st_size} bytes of {len(known)} SMILES")


if __name__ == "__main__":
    main()

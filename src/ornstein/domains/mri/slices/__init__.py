"""Slices of test subjects that ship with the package, and how a training is kept from their subjects.

Where they come from, and under which licences, is in README.md beside them. A subject is known by how often each
value occurs in its image, in the order of the values: the name and format of the file, the order and direction of the
axes, the unit of the values and a padding with 0 do not matter.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num
from PIL import Image

from ....errors import InputError

FOLDER = Path(__file__).parent
NAMES = ("s1-axial", "s1-coronal", "r16", "r64")
"""What ships, as `read` takes it."""
TEST_SUBJECTS = {
    "2816497e467bffab": "pycortex S1",
    "539ded88e1f46504": "a slice of pycortex S1",
    "d58100a00aac90a0": "a slice of pycortex S1",
    "5d3d3a13f327a283": "r16 of ANTs",
    "8f550341b0794e7d": "r27 of ANTs",
    "fc477bf6e44f66ba": "r30 of ANTs",
    "666747919c766d48": "r62 of ANTs",
    "5c94506f7a5d104b": "r64 of ANTs",
    "42cb6247f5d3e995": "r85 of ANTs",
}
"""Fingerprint → what is never trained on: what ships, the volume and the six slices that it was published with."""


def read(name: str) -> Float[np.ndarray, "256 256"]:
    """The magnitude of a slice, from 0 (black) to 1 (white), pixels of 1 mm, rows from anterior or superior.

    Args:
        name: of `NAMES`.

    InputError for another.
    """
    if name not in NAMES:
        raise InputError(f"slice: is {name!r:.80}, expected one of {', '.join(NAMES)}")
    with Image.open(FOLDER / f"{name}.png") as image:
        return np.asarray(image) / 255.0


def fingerprint(image: Num[np.ndarray, "*shape"]) -> str:
    """Of how often each value but 0 occurs, in the order of the values.

    Args:
        image: a slice or a volume, real, in any unit.
    """
    values, counts = np.unique(np.asarray(image, np.float32), return_counts=True)
    return sha256(counts[values != 0].astype(np.int64).tobytes()).hexdigest()[:16]


def require_no_test_subject(image: Num[np.ndarray, "*shape"], where: str) -> None:
    """InputError if an image that was to be trained on is of a test subject.

    Args:
        image: a slice or a volume, real, as it was read, before anything is interpolated.
        where: of the error: the file.
    """
    found = TEST_SUBJECTS.get(fingerprint(image))
    if found is not None:
        raise InputError(
            f"{where}: is {found}, a test subject of this package; expected images that it is not judged on"
        )

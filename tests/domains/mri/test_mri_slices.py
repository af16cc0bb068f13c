"""The slices that ship, and that no training reads their subjects."""

import numpy as np
import pytest

from ornstein import InputError
from ornstein.domains.mri import slices


@pytest.mark.parametrize("name", slices.NAMES)
def test_a_slice_is_read_and_recognised_however_it_lies_in_a_file(name: str) -> None:
    image = slices.read(name)
    assert image.shape == (256, 256)
    assert image.min() == 0 < 0.6 < image.max() <= 1
    for seen in (image, image.T[::-1], np.rint(255 * image).astype(np.uint8), np.pad(image, ((3, 0), (0, 5)))[None]):
        with pytest.raises(InputError, match=r"my\.png: is .*(S1|ANTs), a test subject"):
            slices.require_no_test_subject(seen, "my.png")


def test_other_images_may_be_trained_on() -> None:
    """Also of one that differs in a single pixel: it is the content that counts, not the file or the size."""
    image = slices.read("r16").copy()
    image[128, 128] = 0.123
    slices.require_no_test_subject(image, "my.png")
    slices.require_no_test_subject(np.zeros((4, 4)), "my.png")


def test_each_subject_is_on_the_list_once_and_by_its_own_name() -> None:
    names = list(slices.TEST_SUBJECTS.values())
    assert len(names) == 9
    assert sum("ANTs" in name for name in names) == 6
    assert "pycortex S1" in names  # the volume, which does not ship


def test_an_unknown_slice_is_named() -> None:
    with pytest.raises(InputError, match="'r17', expected one of s1-axial"):
        slices.read("r17")


def test_sources_and_licences_stand_beside_the_slices() -> None:
    said = (slices.FOLDER / "README.md").read_text()
    assert sorted(path.stem for path in slices.FOLDER.glob("*.png")) == sorted(slices.NAMES)
    assert all(f"`{name}.png`" in said for name in slices.NAMES)
    assert "test subjects" in said
    assert "THIS SOFTWARE IS PROVIDED" in said

"""Samples on their way as one picture: of noise as of samples, of each domain, within the time of a step."""

from collections.abc import Callable
from io import BytesIO
from time import process_time
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

import ornstein as on
from ornstein import Keys, Samples
from ornstein.report import quick
from ornstein.tasks.figures import Figure
from ornstein.tasks.registry import task

MODELS = (
    *("images/digits", "images/openmoji", "sequences/riboswitch", "molecules/qm9", "energies/gmm-40"),
    *("energies/lj-13", "energies/many-well-32", "poisson/discs", "poisson/solver", "mri/brain", "weather/qg"),
)
SECONDS = 0.05


def content(figure: Figure) -> np.ndarray:
    """Pixels of a PNG, or numbers of all circles of an SVG; fails for a file that is neither."""
    if figure.kind == "png":
        return np.asarray(Image.open(BytesIO(figure.image)).convert("RGB")).astype(float)
    circles = ElementTree.fromstring(figure.image).iter("{http://www.w3.org/2000/svg}circle")
    return np.array([[float(one.get(name, "nan")) for name in ("cx", "cy")] for one in circles])


@pytest.mark.parametrize("name", MODELS)
def test_sixteen_samples_are_seen_as_they_are_within_the_time_of_a_step(name: str) -> None:
    model = on.load(name)
    assert model.origin is not None
    condition = {"mask": (torch.arange(29) < 18).expand(16, -1)} if name.startswith("molecules") else {}
    frame = task(model.origin.domain).frame
    noise, other = (Samples(model.space.prior(Keys.of(seed, 16)), condition, model.origin) for seed in (0, 1))
    first, second = frame(noise), frame(other)
    assert first is not None
    assert second is not None
    assert first.caption
    assert np.isfinite(content(first)).all()
    if not name.startswith("sequences"):  # whose letters are all hidden
        assert not np.array_equal(content(first), content(second))
    assert np.array_equal(content(first), content(frame(noise) or second))
    assert min(measured(lambda: frame(noise)) for _ in range(3)) < SECONDS


def measured(call: Callable[[], object]) -> float:
    begun = process_time()
    call()
    return process_time() - begun


def test_one_sample_is_enough() -> None:
    for name in MODELS[:-2]:
        model = on.load(name)
        assert model.origin is not None
        assert task(model.origin.domain).frame(Samples(model.space.prior(Keys.of(0, 1)), {}, model.origin))


def test_atoms_are_in_the_colours_of_their_elements() -> None:
    model = on.load("molecules/qm9")
    x = {"positions": torch.tensor([[[0.5, 0, 0], [-0.5, 0, 0], [0, 3.0, 0]]]), "atoms": torch.tensor([[3, 5, 2]])}
    x = {"positions": torch.zeros(1, 29, 3), "atoms": torch.zeros(1, 29, dtype=torch.int64)} | {
        name: torch.cat([leaf, leaf.new_zeros(1, 26, *leaf.shape[2:])], 1) for name, leaf in x.items()
    }
    figure = task("molecules").frame(Samples(x, {}, model.origin))
    assert figure is not None
    assert [colour in figure.image for colour in (b"#cf4a3c", b"#8a9bc0", b"#3d6fb4", b"#f1f1ee")] == [1, 1, 1, 0]


# The pictures themselves ------------------------------------------------------------------------------


def test_fields_have_colours_by_their_values_and_are_white_where_nothing_is_known() -> None:
    stack = np.array([[[0.0, 1.0], [0.5, np.nan]], [[9.0, -9.0], [0.0, 0.0]]])
    pixels = content(quick.fields(stack, (0.0, 1.0), "", "gray"))
    height, half = pixels.shape[0] // 2, 20
    shades = [pixels[half + row * height, half + column * height].tolist() for row in (0, 1) for column in (0, 1)]
    assert shades[0] == [0, 0, 0]
    assert shades[1] == [255, 255, 255]
    assert shades[2] == pytest.approx([127] * 3, abs=2)
    assert shades[3] == [255, 255, 255]
    right = pixels[:, -pixels.shape[0] :]
    assert right[half, half].tolist() == [255, 255, 255]  # beyond the limits
    assert right[half, half + height].tolist() == [0, 0, 0]
    upward = content(quick.fields(stack, (0.0, 1.0), "", "gray", upward=True))
    assert np.array_equal(upward[half + height, half], pixels[half, half])


def test_lines_and_dots_lie_where_they_should() -> None:
    line = content(quick.lines(np.array([[0.0, 0.0]]), (0.0, 4.0), "", (60, 40)))
    assert (line[-1] < 255).any()
    assert (line[:30] == 255).all()
    dots = content(quick.dots([np.array([[3.0, 1.0]])], (0, 4, 0, 4), ""))
    rows, columns = np.nonzero((dots < 200).any(-1))
    assert rows.mean() == pytest.approx(300, abs=1.5)
    assert columns.mean() == pytest.approx(300, abs=1.5)


def test_limits_leave_out_what_is_not_finite_and_are_never_empty() -> None:
    assert quick.range_of(np.array([0.0, 1.0, np.nan, np.inf]), 0.0) == (0, 1)
    assert quick.range_of(np.array([-1.0, 3.0]), 0.0, signed=True) == (-3, 3)
    assert quick.range_of(np.array([2.0, 2.0])) == (1.5, 2.5)
    assert quick.range_of(np.array([np.nan])) == (0, 1)

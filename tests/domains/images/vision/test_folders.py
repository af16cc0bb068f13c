"""Folders of pictures: captions and classes where they are looked for, and nothing dropped without a word."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ornstein.domains.images import data
from ornstein.domains.images.vision import fashion
from ornstein.domains.images.vision.folders import fitted, read_folder
from ornstein.errors import InputError


def draw(
    path: Path, size: tuple[int, int] = (12, 12), value: tuple[int, ...] = (200, 10, 10), mode: str = "RGB"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode != "L" else value[0]).save(path)
    return path


def test_captions_beside_pictures(tmp_path: Path) -> None:
    for k in range(3):
        draw(tmp_path / f"{k}.png").with_suffix(".txt").write_text(f"picture {k}\n")
    draw(tmp_path / "silent.png")
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    (tmp_path / "broken.txt").write_text("broken")
    (tmp_path / "notes.md").write_text("hello")
    found = read_folder(tmp_path, 8)
    assert found.captions == ["picture 0", "picture 1", "picture 2"]
    assert found.labels is None
    assert found.pixels.shape == (3, 8, 8, 3)
    reasons = " | ".join(found.left_out)
    assert "silent.png: no .txt beside it" in reasons
    assert "broken.jpg: cannot identify" in reasons
    assert "notes.md: not a picture" in reasons


def test_captions_and_labels_in_a_table(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    draw(tmp_path / "more" / "b.png", value=(0, 0, 255))
    draw(tmp_path / "extra.png")
    (tmp_path / "metadata.csv").write_text(
        'file_name,text,label\na.png,"red, mostly",warm\nmore/b.png,blue,cold\ngone.png,x,cold\n'
    )
    found = read_folder(tmp_path)
    assert found.captions == ["red, mostly", "blue"]
    assert found.labels == ["warm", "cold"]
    assert set(found.left_out) == {
        "gone.png: in metadata.csv, but not in the folder",
        "extra.png: no row in metadata.csv",
    }


def test_subfolders_are_classes_and_grey_stays_grey(tmp_path: Path) -> None:
    for k in range(6):
        draw(tmp_path / "cats" / f"{k}.png", mode="L", value=(40 * k,))
        draw(tmp_path / "dogs" / f"{k}.png", mode="L", value=(20 * k,))
    train, held_out = data.load(str(tmp_path), 8)
    assert train.metadata["labels"] == ["cats", "dogs"]
    assert train.metadata["shape"] == [1, 8, 8]
    assert len(train) + len(held_out) == 12


def test_transparent_pictures_lie_on_white_and_are_cut_to_squares(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png", (20, 10), (0, 0, 0, 0), "RGBA")
    assert (fitted(path, 8) == 255).all()
    assert fitted(path, 8).shape == (8, 8, 3)
    with pytest.raises(InputError, match="expected 16 or more"):
        fitted(path, 16)


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture that can be used"):
        read_folder(tmp_path)
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", (9, 9))
    assert "b.png: 9 × 9 pixels, others 12 × 12; give a size" in read_folder(tmp_path).left_out
    with pytest.raises(InputError, match="expected 10 or more"):
        data.load(str(tmp_path), 8)
    (tmp_path / "metadata.csv").write_text("name,text\na.png,x\n")
    with pytest.raises(InputError, match="no column 'file_name'"):
        read_folder(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name\na.png\n")
    with pytest.raises(InputError, match="says nothing"):
        read_folder(tmp_path)


def idx(folder: Path, magic: int = 2051, labels: int = 5) -> Path:
    pixels = np.arange(5 * 784, dtype=np.uint32).astype(np.uint8)
    header = magic.to_bytes(4, "big") + bytes(12)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels.tobytes()))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress((2049).to_bytes(4, "big") + bytes(4 + labels)))
    return folder


def test_files_of_fashion_mnist(tmp_path: Path) -> None:
    pixels, labels = fashion.read("train", idx(tmp_path))
    assert pixels.shape == (5, 28, 28)
    assert pixels[1, 0, 0] == 784 % 256
    assert labels.tolist() == [0] * 5
    with pytest.raises(InputError, match="5 pictures and 4 labels"):
        fashion.read("train", idx(tmp_path, labels=4))
    with pytest.raises(InputError, match="expected 2051 of an IDX file"):
        fashion.read("train", idx(tmp_path, 77))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        fashion.read("train", tmp_path)
    with pytest.raises(InputError, match="apt-get install dataset-fashion-mnist"):
        fashion.read("t10k", tmp_path)

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
from ornstein.tasks.registry import task


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
    assert found.captions == [("picture 0",), ("picture 1",), ("picture 2",)]
    assert found.labels is None
    assert found.pixels.shape == (3, 8, 8, 3)
    reasons = " | ".join(found.left_out)
    assert "silent.png: no .txt beside it" in reasons
    assert "broken.jpg: not a readable picture" in reasons
    assert "notes.md: not a picture" in reasons


def test_captions_and_labels_in_a_table(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    draw(tmp_path / "more" / "b.png", value=(0, 0, 255))
    draw(tmp_path / "extra.png")
    (tmp_path / "metadata.csv").write_text(
        'file_name,text,label\na.png,"red, mostly",warm\nmore/b.png,blue,cold\ngone.png,x,cold\n'
    )
    found = read_folder(tmp_path)
    assert found.captions == [("red, mostly",), ("blue",)]
    assert found.labels == ["warm", "cold"]
    assert set(found.left_out) == {
        "gone.png: in a table, but not in the folder",
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


def classes(folder: Path) -> tuple[list[str], str]:
    found = read_folder(folder)
    return sorted(set(found.labels or ())), " | ".join([*found.notes, *found.left_out])


def test_hidden_folders_are_no_classes_and_their_pictures_are_named(tmp_path: Path) -> None:
    for name in (
        "cat/0.png",
        "cat/1.png",
        "dog/0.png",
        ".ipynb_checkpoints/0.png",
        "__MACOSX/cat/._0.png",
        "cat/._1.png",
    ):
        draw(tmp_path / name)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    found = read_folder(tmp_path)
    assert found.labels == ["cat", "cat", "dog"]
    assert sorted(found.left_out) == [
        ".ipynb_checkpoints/0.png: a hidden file",
        "__MACOSX/cat/._0.png: a hidden file",
        "cat/._1.png: a hidden file",
    ]


def test_what_becomes_a_class_is_said(tmp_path: Path) -> None:
    for name in ("train/cat", "test/cat", "train/dog"):
        draw(tmp_path / "parts" / "inner" / name / "0.png")
    found, told = classes(tmp_path / "parts")
    assert found == ["cat", "dog"]
    assert (
        "test, train: read as parts of one set, of which some pictures are held out anew; they are no classes" in told
    )
    assert "classes are the folders cat, dog" in told
    for name in ("train", "Test"):
        draw(tmp_path / "plain" / name / "0.png")
    assert classes(tmp_path / "plain")[0] == []
    draw(tmp_path / "one" / "cat" / "0.png")
    assert classes(tmp_path / "one") == ([], "")


def test_folders_of_folders_are_refused_as_classes(tmp_path: Path) -> None:
    for name in ("cat/a", "dog/a"):
        draw(tmp_path / name / "0.png").with_suffix(".txt").write_text("an animal")
    found, told = classes(tmp_path)  # captions suffice
    assert found == []
    assert "folders are not read as classes, since pictures lie at several depths" in told
    for path in tmp_path.rglob("*.txt"):
        path.unlink()
    with pytest.raises(InputError, match=r"cat/a/0\.png: lies in folders of folders, .* expected one folder a class"):
        read_folder(tmp_path)


def test_pictures_beside_the_folders_of_classes_have_no_class(tmp_path: Path) -> None:
    for name in ("0.png", "cat/0.png", "dog/0.png"):
        draw(tmp_path / name)
    found, told = classes(tmp_path)
    assert found == ["cat", "dog"]
    assert "0.png: beside the folders of the classes, so that it has none" in told


def test_one_folder_beside_pictures_is_no_class(tmp_path: Path) -> None:
    for name in ("0.png", "1.png", "more/0.png"):
        draw(tmp_path / name)
    assert classes(tmp_path) == ([], "")
    assert len(read_folder(tmp_path).pixels) == 3


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "here")
    found = read_folder(tmp_path / "here")
    assert len(found.pixels) == 1
    assert found.left_out == ["link/back: read already, under another name"]


def test_what_was_made_of_a_folder_is_told_before_training(tmp_path: Path) -> None:
    for k in range(6):
        draw(tmp_path / "cats" / f"{k}.png", value=(40 * k, 0, 0))
        draw(tmp_path / "dogs" / f"{k}.png", value=(0, 20 * k, 0))
    draw(tmp_path / "0.png")
    told = task("images").describe(*data.load(str(tmp_path), 8))
    assert "1 files left out\n  left out: 0.png: beside the folders" in told
    assert "classes are the folders cats, dogs" in told


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

"""Captions and classes in tables and beside pictures: every one is used, or named with its file and line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuzz import json_mutations, mutations, require_clean
from ornstein import InputError
from ornstein.domains.images import data
from ornstein.domains.images.vision.annotations import beside, of_tables
from ornstein.domains.images.vision.folders import read_folder
from ornstein.training.datasets import Dataset

CSV = 'file_name,text,label\n0.png,a cat,warm\n1.png,"a dog, sitting",cold\n2.png,a cat\'s eye,warm\n'
JSONL = [
    {"file_name": "0.png", "text": "a cat", "label": "warm"},
    {"file_name": "1.png", "text": ["a dog", "a hound"], "label": "cold"},
    {"file_name": "2.png", "text": None, "label": "warm"},
]


def pictures(folder: Path, n: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        Image.fromarray(np.full((4, 4), 10 * k, np.uint8)).save(folder / f"{k}.png")
    return folder


def test_a_table_may_lie_beside_the_pictures_of_a_subfolder(tmp_path: Path) -> None:
    pictures(tmp_path / "train")
    (tmp_path / "train" / "metadata.csv").write_text(CSV)
    found = read_folder(tmp_path)
    assert found.captions == [("a cat",), ("a dog, sitting",), ("a cat's eye",)]
    assert found.labels == ["warm", "cold", "warm"]
    assert not found.left_out
    pictures(tmp_path / "test", 1)
    (tmp_path / "test" / "metadata.jsonl").write_text('{"file_name": "0.png", "text": "new", "label": "cold"}\n')
    found = read_folder(tmp_path)
    assert found.captions
    assert found.captions[0] == ("new",)
    (tmp_path / "metadata.csv").write_text("file_name,text\ntrain/0.png,again\n")
    with pytest.raises(InputError, match=r"train/0\.png is in another table, too"):
        read_folder(tmp_path)


def test_json_lines_and_several_captions(tmp_path: Path) -> None:
    pictures(tmp_path)
    lines = [json.dumps(row) for row in JSONL]
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines[:2], "", lines[2], lines[0].replace("a cat", "a tom")]))
    found = read_folder(tmp_path)
    assert found.captions == [("a cat", "a tom"), ("a dog", "a hound"), ()]
    assert found.notes == [
        "4 captions of 3 pictures, all of which are learned",
        "1 of 3 pictures have no caption, and are learned without one",
    ]


def test_all_captions_of_a_picture_are_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last row of a picture does not win over the others."""
    pictures(tmp_path, 12)
    rows = [f"{k}.png,The {word} of number {k}" for k in range(12) for word in ("front", "back", "front")]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text", *rows]))
    monkeypatch.setattr(data, "encoded", lambda texts: np.zeros(0))
    parts: tuple[Dataset, Dataset] = data.load(str(tmp_path), 4)
    assert sum(map(len, parts)) == 24
    train = parts[0]
    assert isinstance(train, data.Captioned)
    spoken = {(int(picture), train.texts[caption]) for picture, caption in train.which.tolist()}
    numbers = {picture for picture, _ in spoken}
    assert spoken == {
        (k, f"The {word} of number {n}") for k in numbers for word in ("front", "back") for n in [order(k)]
    }


def order(k: int) -> int:
    """The number in the name of the k-th picture, sorted as text."""
    return int(sorted(map(str, range(12)))[k])


@pytest.mark.parametrize("column", ["caption", "prompt", "text"])
def test_usual_columns_and_back_slashes(column: str, tmp_path: Path) -> None:
    pictures(tmp_path / "a b")
    (tmp_path / "metadata.csv").write_text(f"file_name, {column}\na b\\0.png,red\n./a b/1.png,blue\na b//2.png,green\n")
    found = read_folder(tmp_path)
    assert found.captions == [("red",), ("blue",), ("green",)]
    assert not found.left_out


def test_a_column_of_ones_own(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,text,caption,fr\n0.png,a,b,c\n1.png,a,b,c\n2.png,a,b,c\n")
    with pytest.raises(
        InputError, match="has the columns text and caption; say which is the caption by caption_column"
    ):
        read_folder(tmp_path)
    assert read_folder(tmp_path, column="fr").captions == [("c",)] * 3
    assert read_folder(tmp_path, column="caption").captions == [("b",)] * 3
    with pytest.raises(InputError, match="no column 'de' of captions, found file_name, text, caption, fr"):
        read_folder(tmp_path, column="de")
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(InputError, match="caption_column is 'fr', but there is no metadata"):
        read_folder(tmp_path, column="fr")
    with pytest.raises(InputError, match="only a folder of pictures"):
        data.load("digits", caption_column="fr")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_with_a_mark(encoding: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "0.txt").write_text("un café\n", encoding=encoding)
    assert read_folder(tmp_path).captions == [("un café",)]
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,un café\n", encoding=encoding)
    assert read_folder(tmp_path).captions == [("un café",)]


@pytest.mark.parametrize("name", ["1.txt", "metadata.csv", "metadata.jsonl"])
def test_other_encodings_are_refused_by_file_and_line(name: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / name).write_bytes(b"file_name,text\n0.png,ok\n1.png,it\x92s\n")
    with pytest.raises(InputError, match=rf"{name}: line 3 holds the byte 0x92, which is not UTF-8"):
        read_folder(tmp_path)
    (tmp_path / name).write_bytes("file_name,text\n0.png,ok".encode("utf-16-le"))
    with pytest.raises(InputError, match=rf"{name}: line 1 holds a NUL"):
        read_folder(tmp_path)


def test_a_text_that_belongs_to_no_picture_is_named_and_not_read(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "0.txt").write_text("a cat\r\nthe same\u2028cat\n\na cat")
    (tmp_path / "1.TXT").write_text("a dog")
    (tmp_path / "2.caption").write_text("a bird")
    (tmp_path / "licence.txt").write_bytes(b"\x92")
    found = read_folder(tmp_path)
    assert found.captions == [("a cat", "the same\u2028cat"), ("a dog",), ("a bird",)]
    assert found.left_out == ["licence.txt: no picture of this name"]
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,from the table\n1.png,x\n2.png,y\n")
    assert "0.txt: not read, as a table describes the pictures" in read_folder(tmp_path).left_out


def test_accents_are_one_letter_or_two(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "0.png").rename(tmp_path / "cafe\u0301.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\ncaf\u00e9.png,x\n1.png,y\n2.png,z\n")
    assert not read_folder(tmp_path).left_out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", "file_name,text\n0.png,a cat, sitting\n", "line 2 has 3 fields, expected 2; a text with"),
        ("metadata.csv", "file_name,text\n0.png\n", "line 2 has 1 fields, expected 2"),
        ("metadata.csv", 'file_name,text\n0.png,"a cat\n', "line 2: unexpected end of data"),
        ("metadata.csv", f"file_name,text\n0.png,{'a' * 200_000}\n", "line 2: field larger than field limit"),
        ("metadata.csv", f"file_name,text\n0.png,{'a' * 20_000}\n", "line 2: a caption of 20000 letters"),
        ("metadata.csv", "file_name,text\n ,a\n", "line 2: file_name is '', expected the path"),
        ("metadata.csv", "file_name,text,text\n0.png,a,b\n", "has two columns of one name"),
        ("metadata.csv", "file_name,label\n0.png,a\n0.png,b\n", "line 3: label 'b', but 'a' in an earlier row"),
        ("metadata.csv", "", "has no rows"),
        ("metadata.csv", "file_name;text\n0.png;a\n", "has no column 'file_name', found file_name;text"),
        ("metadata.jsonl", "[]", "line 1 is .*, expected an object"),
        ("metadata.jsonl", '{"file_name": 3, "text": "a"}', "line 1: file_name is 3"),
        ("metadata.jsonl", '{"file_name": "0.png", "text": 3}', "line 1: text is 3, expected text or a list"),
        ("metadata.jsonl", '{"file_name": "0.png", "text": [null]}', "line 1: text is .*, expected text or"),
        ("metadata.jsonl", '{"file_name": "0.png", "text": "\\ud800"}', "line 1: holds half of a letter"),
        ("metadata.jsonl", '{"file_name": "0.png", "label": 0.5}', "line 1: label is 0.5"),
        ("metadata.jsonl", '{"file_name": "0.png"', "line 1: not valid JSON"),
    ],
)  # fmt: skip
def test_tables_that_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name}: {message}"):
        read_folder(tmp_path)


def test_a_table_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "metadata.csv").mkdir()
    with pytest.raises(InputError, match=r"metadata\.csv: is a folder, expected a table"):
        read_folder(tmp_path)


def test_a_picture_without_a_label_among_others_is_named(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,label\n0.png,a\n1.png,\n2.png,b\n")
    found = read_folder(tmp_path)
    assert found.labels == ["a", "b"]
    assert found.left_out == ["1.png: has no label"]


# Almost right files -----------------------------------------------------------------------------------


def almost(folder: Path, n: int, seed: int) -> None:
    for name, content in (
        ("metadata.csv", CSV.encode()),
        ("metadata.jsonl", lines(JSONL)),
        ("0.txt", b"a dog\ncaf\xc3\xa9"),
    ):
        path = folder / name

        def opened(data: bytes, path: Path = path) -> None:
            path.unlink(missing_ok=True)  # a new file is faster than one cut to nothing
            path.write_bytes(data)
            if path.suffix == ".txt":
                beside(folder, ["0.png"], [path.name])
            else:
                of_tables(folder, [path.name])

        assert min(require_clean(opened, mutations(content, n, seed))), name
        if name == "metadata.jsonl":
            assert min(require_clean(opened, map(lines, json_mutations(JSONL, n, seed))))


def lines(rows: object) -> bytes:
    return "\n".join(json.dumps(row) for row in (rows if isinstance(rows, list) else [rows])).encode()


def test_almost_right_descriptions(tmp_path: Path) -> None:
    almost(tmp_path, 200, 0)


@pytest.mark.slow
def test_many_almost_right_descriptions(tmp_path: Path) -> None:
    almost(tmp_path, 10_000, 1)

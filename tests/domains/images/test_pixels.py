"""Picture files of every depth and orientation: as a viewer shows them, or refused by name before memory is taken."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fuzz import mutations, require_clean
from ornstein import InputError
from ornstein.domains.images.data import load, masked, measured
from ornstein.domains.images.pixels import read, read_with_alpha, upright
from ornstein.domains.images.vision.array_files import read_arrays
from ornstein.domains.images.vision.folders import fitted, read_folder

RAMP = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def levels(path: Path) -> np.ndarray:
    return np.asarray(upright(path))[..., 0]


@pytest.mark.parametrize("name", ["ramp.png", "ramp.tif"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bits_keep_their_256_levels(name: str, order: str, tmp_path: Path) -> None:
    path = saved(tmp_path / name, RAMP.astype(order))
    assert np.array_equal(levels(path), LEVELS)
    assert np.array_equal(read_with_alpha(path, 1)[0][..., 0], LEVELS)  # --observation and --mask
    assert np.array_equal(fitted(path, 16)[..., 1], LEVELS)  # --reference, folders


def test_8_and_16_bits_in_one_folder_are_on_one_scale(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", LEVELS)
    saved(tmp_path / "b.png", RAMP)
    saved(tmp_path / "c.tif", (LEVELS / 255).astype(np.float32))
    found = read_folder(tmp_path)
    assert (found.pixels == LEVELS[..., None]).all()
    assert not found.left_out


def test_tags_of_tiff_are_heard(tmp_path: Path) -> None:
    """White is 0, or 4095."""
    assert np.array_equal(levels(saved(tmp_path / "a.tif", RAMP, tiffinfo={262: 0})), 255 - LEVELS)
    saved(tmp_path / "b.tif", RAMP)
    data = (tmp_path / "b.tif").read_bytes()
    bits = struct.pack("<HHIHH", 258, 3, 1, 16, 0)
    assert data.count(bits) == 1
    packed = np.zeros(16 * 24, np.uint8)  # two numbers of 12 bits in three bytes
    whole = (LEVELS.astype(int) * 4095 // 255).ravel()
    packed[::3], packed[1::3], packed[2::3] = whole[::2] >> 4, (whole[::2] % 16 << 4) + (whole[1::2] >> 8), whole[1::2]
    start = data.index(RAMP.astype("<u2").tobytes())
    twelve = data.replace(bits, struct.pack("<HHIHH", 258, 3, 1, 12, 0))
    (tmp_path / "b.tif").write_bytes(twelve[:start] + packed.tobytes() + twelve[start + 384 :])
    assert abs(levels(tmp_path / "b.tif").astype(int) - LEVELS).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.linspace(0, 2, 256, dtype=np.float32).reshape(16, 16), "floats from 0 to 2, expected 0"),
        (np.linspace(-0.5, 1, 256, dtype=np.float32).reshape(16, 16), "floats from -0.5 to 1, expected 0"),
        (np.full((16, 16), np.nan, dtype=np.float32), "floats some of which are not finite"),
        (RAMP.astype(np.int32), "integers from 0 to 65535 of no known white"),
    ],
)
def test_numbers_of_unknown_range_are_refused(pixels: np.ndarray, found: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", pixels)
    with pytest.raises(InputError, match=rf"a\.tif: holds {found}"):
        upright(path)
    with pytest.raises(InputError, match=found):
        fitted(path, 16)


def test_a_transparent_level_of_16_bits_is_transparent(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", RAMP, transparency=257)
    _, seen = read_with_alpha(path, 1)
    assert (~seen).sum() == 1
    assert not seen[0, 1]


TURNS = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""Orientation → how a picture is stored so that it has to be turned so."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_cameras_say_which_side_is_up(name: str, orientation: int, tmp_path: Path) -> None:
    right = np.zeros((8, 12, 3), np.uint8)
    right[:3], right[:, :2] = (250, 0, 0), (0, 250, 0)
    turn, exif = TURNS[orientation], Image.Exif()
    exif[0x112] = orientation
    image = Image.fromarray(right)
    stored = image if turn is None else image.transpose(Image.Transpose(turn))
    stored.save(tmp_path / name, exif=exif, lossless=True)
    assert np.array_equal(np.asarray(upright(tmp_path / name))[..., :3], right)
    assert np.array_equal(read([tmp_path / name])[0], right)


def test_observations_masks_and_references_are_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    plain = measured(saved(tmp_path / "b.png", LEVELS), 1)[0]
    again = saved(tmp_path / "c.png", np.rot90(LEVELS).copy(), exif=exif)
    assert measured(again, 1)[0].equal(plain)
    assert masked(again, (1, 16, 16)).equal(plain)
    assert np.array_equal(fitted(again, 16)[..., 0], LEVELS)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (11_000, 10_000), (10**9, 10**9), (1, 2 * 10**8)])
def test_pictures_that_unpack_to_more_than_the_limit_are_refused(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(*size))
    for reader in (upright, lambda path: fitted(path, 8), lambda path: read([path]), lambda path: measured(path, 1)):
        with pytest.raises(InputError, match=r"bomb\.png: .*(expected at most 100 million|exceeds limit)"):
            reader(path)
    saved(tmp_path / "good.png", LEVELS)
    found = read_folder(tmp_path)
    assert len(found.pixels) == 1
    assert "bomb.png" in found.left_out[0]


def test_other_formats_under_the_name_of_a_png_are_not_opened(tmp_path: Path) -> None:
    """PostScript would start a program."""
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(InputError, match="not a readable picture"):
        upright(tmp_path / "a.png")


def test_samples_of_unequal_size_are_named(tmp_path: Path) -> None:
    paths = [saved(tmp_path / "0.png", LEVELS), saved(tmp_path / "1.png", LEVELS[:8])]
    with pytest.raises(InputError, match=r"1\.png: is 16 × 8 pixels in 1 channels, expected 16 × 16 pixels in 1"):
        read(paths)
    paths[1] = saved(tmp_path / "1.png", np.stack([LEVELS] * 3, -1))
    with pytest.raises(InputError, match=r"1\.png: is 16 × 16 pixels in 3 channels"):
        read(paths)
    with pytest.raises(InputError, match="no pictures"):
        read([])


def test_an_archive_that_unpacks_to_far_more_than_it_seems_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ornstein.domains.images.vision.array_files._MOST", 10**6)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, images=np.zeros((30, 1000, 100), np.uint8))
    with pytest.raises(InputError, match="unpacks to 3 MB, more than the limit of 1 MB"):
        load(str(path))


# Almost right files -----------------------------------------------------------------------------------


def almost(tmp_path: Path, n: int, seed: int) -> None:
    colour = np.stack([LEVELS, LEVELS.T, 255 - LEVELS], -1)
    exif = Image.Exif()
    exif[0x112] = 6
    kinds: list[tuple[str, np.ndarray, dict[str, Any]]] = [
        ("a.png", colour, {"exif": exif}),
        ("b.png", RAMP, {}),
        ("c.tif", RAMP, {}),
        ("d.jpg", colour, {"exif": exif}),
        ("e.gif", LEVELS, {}),
    ]
    for name, pixels, options in kinds:
        path = saved(tmp_path / name, pixels, **options)

        def opened(data: bytes, path: Path = path) -> None:
            path.unlink(missing_ok=True)  # a new file is faster than one cut to nothing
            path.write_bytes(data)
            for reader in (lambda: fitted(path, 8), lambda: read([path]), lambda: read_with_alpha(path, 1)):
                reader()

        accepted, refused = require_clean(opened, mutations(path.read_bytes(), n // len(kinds), seed))
        assert min(accepted, refused), name


def almost_arrays(tmp_path: Path, n: int, seed: int) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=np.stack([LEVELS[:4, :4]] * 12), labels=np.arange(12) % 2)

    def opened(data: bytes) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        read_arrays(path)

    assert require_clean(opened, mutations(path.read_bytes(), n, seed))[1] > n // 2


def test_almost_right_pictures(tmp_path: Path) -> None:
    almost(tmp_path, 200, 0)
    almost_arrays(tmp_path, 200, 0)


@pytest.mark.slow
def test_many_almost_right_pictures(tmp_path: Path) -> None:
    almost(tmp_path, 10_000, 1)
    almost_arrays(tmp_path, 10_000, 1)

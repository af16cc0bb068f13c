"""Places at a URL: an object is whole or counts as absent, and what is missing is named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ornstein.distributed.places import SEAL, Place, is_url
from ornstein.errors import InputError

fsspec: Any = pytest.importorskip("fsspec")


@pytest.fixture(params=["memory", "file"])
def place(request: Any, tmp_path: Path) -> Iterator[Place]:
    """An empty one."""
    yield Place(f"{request.param}://{tmp_path}/run/")
    fsspec.filesystem("memory").store.clear()


def test_what_was_put_is_there(place: Place) -> None:
    assert place.get("a") is None
    assert place.size("a") is None
    assert place.names("") == place.names("deep") == []
    place.put("a", b"1")
    place.put("deep/b", b"22")
    place.put("deep/a", b"333")
    place.put("a", b"4444")
    assert place.get("a") == b"4444"
    assert place.size("a") == 4
    assert place.names("deep") == ["a", "b"]
    assert place.names("") == ["a", "deep"]
    with pytest.raises(InputError, match=r"run/a: has 4 bytes, expected 3 at most"):
        place.get("a", limit=3)
    place.remove("a")
    place.remove("a")
    assert place.names("") == ["deep"]


def test_what_was_cut_off_counts_as_absent(place: Place) -> None:
    seal = place.put_sealed("shards/0", b"0123456789" * 300, {"first": 0})
    assert seal["first"] == 0
    assert seal["size"] == 3000
    assert place.seals("shards") == {"0": seal}
    assert place.get_sealed("shards/0") == (b"0123456789" * 300, seal)
    raw = place.get("shards/0")
    assert raw is not None
    for length in (0, 1, SEAL - 1, SEAL, 3000, 3000 + SEAL - 1):
        place.put("shards/0", raw[:length])
        assert place.seals("shards") == {}, length
        assert place.get_sealed("shards/0") is None, length
    place.put("shards/0", b"x" + raw[1:])
    assert place.get_sealed("shards/0") is None
    place.put("shards/0", raw)
    assert place.seals("shards") == {"0": seal}
    assert place.seals("none") == {}
    with pytest.raises(ValueError, match="1024 at most"):
        place.put_sealed("a", b"", {"long": SEAL * "x"})


def test_what_a_protocol_needs_is_named() -> None:
    for url, said in {
        "s3://bucket/run": r"s3://bucket/run: .*s3fs.*pip install s3fs",
        "gs://bucket/run": r"gs://bucket/run: .*pip install gcsfs",
        "sftp://me:secret@host/run": r"sftp://me@host/run: .*pip install paramiko",
        "nosuch://bucket/run": "nosuch://bucket/run: Protocol not known",
        "simplecache::s3://bucket/run": "expected the URL of a folder, such as s3://bucket/folder",
        "s3://": "expected the URL of a folder",
    }.items():
        if url.split(":")[0] in ("s3", "gs", "sftp") and _is_there(url):
            continue
        with pytest.raises(InputError, match=said):
            Place(url)


def _is_there(url: str) -> bool:
    try:
        fsspec.core.url_to_fs(url)
    except ImportError:
        return False
    return True


def test_errors_of_a_protocol_name_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    class OfTheirs(Exception):
        pass

    place, files = Place("memory://run"), fsspec.filesystem("memory")
    for error, kind, said in (
        (OfTheirs("no credentials"), OSError, "OfTheirs: no credentials.*memory://run/a"),
        (PermissionError(13, "Forbidden"), PermissionError, "Forbidden.*memory://run/a"),
        (NotImplementedError(), InputError, "memory://run/a: nothing can be written there"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(type(files), "pipe_file", _raising(error))
            with pytest.raises(kind, match=said):
                place.put("a", b"")


def _raising(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_a_url_is_no_path() -> None:
    assert is_url("s3://bucket/run")
    assert not is_url("samples/digits")
    assert not is_url(Path("s3:/bucket"))

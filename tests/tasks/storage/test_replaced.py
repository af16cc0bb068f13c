"""Files that are replaced while they are read over a network."""

import errno

import pytest

from ornstein.tasks.storage.replaced import TRIES, read_again


@pytest.mark.parametrize(
    ("number", "times", "tries"), [(errno.ESTALE, 2, 3), (errno.ESTALE, 99, TRIES), (errno.EIO, 1, 1)]
)
def test_a_reading_is_repeated_only_where_its_file_was_replaced(number: int, times: int, tries: int) -> None:
    tried = list[int]()

    def read() -> str:
        tried.append(len(tried))
        if len(tried) <= times:
            raise OSError(number, "as NFS says it")
        return "read"

    if times < tries:
        assert read_again(read) == "read"
    else:
        with pytest.raises(OSError, match="as NFS says it"):
            read_again(read)
    assert len(tried) == tries

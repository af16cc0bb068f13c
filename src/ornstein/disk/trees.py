"""Folders of many files: which these are, and when all of them are on the disk."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from .. import files

_MANY = 100  # files that are waited for together


def sync_tree(folder: Path) -> None:
    """Waits until a folder and all that is in it is on the disk.

    Of many files all that the system holds is written at once, in a hundredth of the time; Linux waits until it is.

    Args:
        folder: its path.
    """
    names, folders = files_in(folder), [Path(place) for place, _, _ in os.walk(folder, topdown=False)]
    together = len(names) + len(folders) > _MANY and sys.platform == "linux"
    if together:
        os.sync()
    for path in folders if together else [*(folder / name for name in names), *folders]:
        if not path.is_symlink():
            files.sync(path)


def files_in(folder: Path) -> list[str]:
    """The names of all files in a folder and in those within it, relative to it, in the order of their paths.

    Args:
        folder: its path.
    """
    found = []
    for place, _, names in os.walk(folder):
        below = os.path.relpath(place, folder)
        found += names if below == "." else [f"{below}/{name}" for name in names]
    return sorted(found, key=lambda name: name.split("/"))


def flushed(paths: Iterable[Path], within: Path) -> list[Path]:
    """Files, once they are on the disk with the folders that may have been made for them.

    Args:
        paths: of the files.
        within: the folder that these folders are in; it is waited for, too.
    """
    found = list(paths)
    folders = dict.fromkeys(folder for file in found for folder in file.parents if folder.is_relative_to(within))
    for path in [*found, *folders]:
        files.sync(path)
    return found

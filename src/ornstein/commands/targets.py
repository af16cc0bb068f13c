"""What stands after `train` and `sample`, and decides which flags there are. No torch here."""

from collections.abc import Sequence

from ..errors import InputError

TARGETS = {
    "train": ("DOMAIN, or DOMAIN/RECIPE: a kind of data, or one of its recipes", "recipes/*.toml"),
    "sample": ("MODEL: a shipped model's name, a run folder or a weights file", "models/*/model.safetensors"),
}
"""What stands after a command and decides which flags there are, and the files of a domain that are its names."""


def target_in(argv: Sequence[str]) -> str | None:
    """The word after `train` or `sample`; None after others, or if help is wanted. InputError if it is not there.

    The target decides which flags there are, so it comes first.
    """
    command, *rest = argv
    if command not in TARGETS or rest[:1] in (["-h"], ["--help"]):
        return None
    if not rest:
        raise InputError(f"{command} needs a {listed(command)}")
    if rest[0].startswith("-"):
        what = "the model" if command == "sample" else "the domain"
        raise InputError(f"{command}: {what} comes first, as in ornstein {command} images/digits; found {rest[0]}")
    return rest[0]


def listed(command: str) -> str:
    """What may stand after a command, with all that is installed; nothing of it is loaded."""
    from ..tasks.registry import domains, names

    words, pattern = TARGETS[command]
    known = [*(domains() if command == "train" else []), *names(pattern)]
    return "\n  ".join([f"{words}. Installed:", *sorted(known)])

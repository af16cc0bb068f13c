"""What `--help` prints of a command, and a script with which a shell completes it. Neither torch nor rich here."""

import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING
from inspect import getdoc
from typing import Any, get_origin

from ..errors import InputError
from .flags import Flag, flags_of, words_of

PROGRAM = "One diffusion engine for science: learn to undo noise, say what you know, get calibrated samples."
EXAMPLES = (
    'ornstein sample images/openmoji --prompt "a red heart"',
    "ornstein sample images/digits --label 3 --n 16",
    "ornstein sample poisson/gaussian --solution-sensors readings.csv",
    "ornstein sample mri/brain --kspace scan.h5 --out recon",
    "ornstein sample weather/qg --members 20 --out ens",
    "ornstein show samples/digits-0",
    "ornstein trust samples/gmm-40-0",
    "ornstein train sequences --data my.fasta",
    "ornstein models",
)
_LEFT = 24  # columns of the flags


def manual(command: str, function: Callable[..., Any], examples: Sequence[str] = ()) -> str:
    """The help of one command: how to call it, examples, then its flags under headings.

    Args:
        command: as it is written, such as "ornstein sample".
        function: what it calls.
        examples: whole commands.
    """
    words, table = words_of(function), flags_of(function)
    named = " ".join(word.name.upper() + (" ..." if get_origin(word.hint) is tuple else "") for word in words)
    usage = f"usage: {command} {named}".rstrip() + (" [flags]" if table else "")
    parts = [usage, _filled(summary(function))]
    if examples:
        parts.append("\n".join(["Examples:", *(f"  {one}" for one in examples)]))
    if words:
        parts.append("\n".join(_row(word.name.upper(), word.text) for word in words))
    for group in dict.fromkeys(flag.group for flag in table):
        rows = [_row(f"{_spelt(flag)} {flag.metavar}", _told(flag)) for flag in table if flag.group == group]
        parts.append("\n".join([_filled(f"{group[0].upper()}{group[1:]}:".replace(".:", ":")), *rows]))
    return "\n\n".join(parts)


def overview(commands: Mapping[str, Callable[..., Any]], program: str, examples: Sequence[str]) -> str:
    """The help of the program: examples, then its commands."""
    rows = [_row(name, summary(function)) for name, function in commands.items()]
    return "\n\n".join(
        [
            "usage: ornstein COMMAND [flags]",
            _filled(program),
            "\n".join(["Examples:", *(f"  {one}" for one in examples)]),
            "\n".join(["Commands (ornstein COMMAND --help tells more):", *rows]),
            "\n".join([_row("--version", "the version"), _row("-h, --help", "this")]),
        ]
    )


def summary(function: Callable[..., Any]) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((getdoc(function) or "").partition("\n\n")[0].split())


def _width() -> int:
    return max(60, min(100, shutil.get_terminal_size().columns))


def _filled(text: str) -> str:
    return textwrap.fill(text, _width())


def _row(left: str, right: str) -> str:
    """Two columns; what is too long for the first has a line of its own."""
    indent = " " * (_LEFT + 3)
    text = textwrap.fill(right, _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    if len(left.strip()) > _LEFT:
        return f"  {left.strip()}\n{text}"
    return f"  {left.strip():{_LEFT}} {text.lstrip()}".rstrip()


def _spelt(flag: Flag) -> str:
    """As it is written, the short way first; a switch that is on by default by what turns it off."""
    if flag.hint is bool:
        return flag.spellings[1] if flag.default else flag.option
    return ", ".join(reversed(flag.spellings))


def _told(flag: Flag) -> str:
    """What a flag means, and its default where the text does not say what happens without it."""
    if flag.default is MISSING:
        return f"{flag.text} (required)"
    if flag.default in (None, (), "", False) and not isinstance(flag.default, int | float):
        return flag.text
    if flag.hint is bool:
        return f"do not: {flag.text}" if flag.default else flag.text
    value = " ".join(map(str, flag.default)) if isinstance(flag.default, tuple) else flag.default
    return f"{flag.text} (default: {value})"


# Completion -------------------------------------------------------------------------------------------

_SCRIPT = """\
# Completion of ornstein: source it in ~/.bashrc or ~/.zshrc, or write it where your shell looks for such files.
[ -n "$ZSH_VERSION" ] && autoload -U +X bashcompinit && bashcompinit
_ornstein() {{
  local here="${{COMP_WORDS[COMP_CWORD]}}" words
  case "$COMP_CWORD:${{COMP_WORDS[1]}}" in
    1:*) words="{commands}" ;;
{first}
  esac
  if [ "$COMP_CWORD" -gt 1 ] && [ -z "$words" ]; then
    case "${{COMP_WORDS[1]}}:${{COMP_WORDS[2]}}" in
{flags}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$here"))
}}
complete -o default -F _ornstein ornstein
"""


def completion(
    shell: str,
    commands: Sequence[str],
    targets: Mapping[str, Sequence[str]],
    flags: Mapping[str, Sequence[str]],
) -> str:
    """A script for bash or zsh that completes commands, their targets and their flags; it starts no Python.

    Args:
        shell: bash or zsh.
        commands: their names.
        targets: command -> what may stand after it, such as the names of models.
        flags: "command:pattern" of what stands after it, as in a shell's case -> flags.
    """
    if shell not in ("bash", "zsh"):
        raise InputError(f"completion is for bash and zsh, found {shell!r}")
    first = [f'    2:{name}) words="{" ".join(known)}" ;;' for name, known in targets.items()]
    more = [f'      {pattern}) words="{" ".join(known)}" ;;' for pattern, known in flags.items()]
    return _SCRIPT.format(commands=" ".join(commands), first="\n".join(first), flags="\n".join(more))

"""The command line: a handful of commands, their flags generated from typed configurations.

Exit codes: 0 done, 1 failed, 2 the input is not what it must be, 3 stopped early with everything saved.
"""

import errno
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from .code import allow_named
from .config import SampleConfig
from .deprecation import GONE
from .errors import InputError, Interrupted, SamplingError, TrainingError
from .escaping import printable

PROGRAM = "One diffusion engine for science: learn to undo noise, say what you know, get calibrated samples."


def tour(out: Path = Path("tour"), seed: int = 0) -> None:
    """Draw from every shipped model, score it, and write one self-contained page.

    Args:
        out: the folder to write; index.html is the page.
        seed: of all the samples.
    """
    from .report.tour import tour as build

    print(build(out, seed))


def evaluate(
    folder: Positional[Path], data: str | None = None, allow_code: bool = False, code: Path | None = None
) -> None:
    """Score a folder of samples as its field does; the result goes to scores.json there.

    Args:
        folder: what `ornstein sample` wrote.
        data: the file or folder that the model learned from, if it was one of yours.
        allow_code: run the Python file that the samples' energy is in, if you trust it.
        code: the same, and where that file is now.
    """
    from .report.terminal import console, metric_table
    from .tasks import runs

    console.print(metric_table(runs.evaluate(folder, data=data, allow_code=code or allow_code), str(folder)))


def show(path: Positional[str], allow_code: bool = False, code: Path | None = None) -> None:
    """Show a folder of samples, a training run or a shipped model: in words here, and as report.html beside it.

    Args:
        path: a folder, or a shipped model's name.
        allow_code: run the Python file that the samples' energy is in, if you trust it.
        code: the same, and where that file is now.
    """
    from .report.show import show as build
    from .report.terminal import console

    for part in build(path, code or allow_code):
        console.print(part)


def merge(
    folders: Positional[tuple[Path, ...]],
    out: Annotated[Path, arg(aliases=["-o"])],
    allow_code: bool = False,
    code: Path | None = None,
) -> None:
    """Put the samples of several folders together: parts of one run, drawn with --first, by whichever worker.

    Args:
        folders: what `ornstein sample` wrote, in any order; their numbers must follow one another.
        out: the folder to write.
        allow_code: run the Python file that the samples' energy is in, if you trust it.
        code: the same, and where that file is now.
    """
    from .report.terminal import console
    from .tasks import requests
    from .tasks.samples import require_absent

    require_absent(out)
    samples = requests.merge(folders, allow_code=code or allow_code)
    saved = samples.save(out)
    console.print(f"{samples}\n{saved}", markup=False, highlight=False)


def models() -> None:
    """List the shipped models."""
    from .report.show import shipped_table
    from .report.terminal import console

    console.print(shipped_table())


def doctor() -> None:
    """Check the installation: versions, devices, extras, shipped weights, and a draw from a known distribution."""
    from .report.doctor import examine

    raise SystemExit(examine())


def _train_command(argv: Sequence[str]) -> Callable[..., None]:
    """`train`, with the flags of the domain that the arguments name; InputError if they name it after a flag."""
    target = _target(argv, "train", "the domain")
    if target is None:
        return _train_what
    from .tasks import runs

    domain, _, name = target.partition("/")
    default = runs.recipe(domain, name or None, _config_file(argv))

    def train(
        target: Positional[str],
        settings: Annotated[type(default), arg(name="")] = default,  # pyright: ignore[reportInvalidTypeForm]
        config: Path | None = None,
        out: Path | None = None,
        resume: bool = False,
    ) -> None:
        """Train a model.

        Args:
            target: a domain, or domain/recipe, such as images/digits.
            settings: every setting of the domain.
            config: a TOML file laid over the recipe; flags are laid over both.
            out: the run folder; runs/DOMAIN-RECIPE if not given.
            resume: go on with the run in that folder.
        """
        from .report.terminal import training_progress

        folder = out or Path("runs") / target.replace("/", "-")
        with training_progress(settings.train) as progress:
            print(runs.train(domain, name or folder.name, settings, folder, resume, progress, _say))

    return train


def _say(text: object) -> None:
    print(printable(text))


def _train_what(target: Positional[str]) -> None:
    """Train a model on a domain's data; `ornstein train DOMAIN --help` lists what can be set.

    Args:
        target: a domain, or domain/recipe, such as images/digits.
    """


def _sample_command(argv: Sequence[str]) -> Callable[..., None]:
    """`sample`, with the flags of the model that the arguments name; InputError if they name it after a flag."""
    named = _target(argv, "sample", "the model")
    if named is None:
        return _sample_what
    from .tasks import runs

    request_type = runs.task_of(named).request_type

    def sample(
        model: Positional[str],
        asked: Annotated[request_type, arg(name="")] = request_type(),  # noqa: B008  # pyright: ignore[reportInvalidTypeForm]
        how: Annotated[SampleConfig, arg(name="")] = SampleConfig(),  # noqa: B008
        out: Path | None = None,
        allow_code: bool = False,
        code: Path | None = None,
    ) -> None:
        """Draw samples into a new folder, in the field's own files, with a manifest.

        Args:
            model: a shipped model's name, a run folder or a weights file.
            asked: what to draw.
            how: the settings of the sampler.
            out: the folder; samples/MODEL-SEED if not given, with -FIRST behind it where numbers begin later.
            allow_code: run the Python file that the model's energy is in, if you trust it.
            code: the same, and where that file is now.
        """
        from .events import finished
        from .report.terminal import console, drawing_progress
        from .tasks.requests import drawing
        from .tasks.samples import require_absent

        folder = out or Path("samples") / f"{Path(model).name}-{how.seed}{f'-{how.first}' if how.first else ''}"
        require_absent(folder)
        _require_writable(folder)
        options = {name: value for name, value in vars(how).items() if value is not None and value is not False}
        device = runs.pick_device(options.pop("device"))
        denoiser = runs.load(model, device, allow_code=code or allow_code)
        with drawing_progress() as show:
            samples = finished(drawing(denoiser, asked, options.pop("n"), **options), show)
        saved = samples.save(folder)
        console.print(printable(f"{samples}\n{saved}"), markup=False, highlight=False)

    return sample


def _sample_what(model: Positional[str]) -> None:
    """Draw samples from a model; `ornstein sample MODEL --help` lists what can be asked of it.

    Args:
        model: a shipped model's name, a run folder or a weights file.
    """


def _config_file(argv: Sequence[str]) -> Path | None:
    """The file after --config: needed before the other flags are read, whose defaults it sets."""
    words = [part for word in argv for part in word.split("=", 1)]
    return next((Path(value) for flag, value in pairwise(words) if flag == "--config"), None)


def _target(argv: Sequence[str], command: str, what: str) -> str | None:
    """The word after the command; None if there is none, or help is wanted. InputError if it is a flag.

    The target decides which flags there are, so it comes first. what: the target, in words.
    """
    if argv[0] != command or len(argv) == 1 or argv[1] in ("-h", "--help"):
        return None
    if argv[1].startswith("-"):
        raise InputError(f"{command}: {what} comes first, as in ornstein {command} images/digits; found {argv[1]}")
    return argv[1]


def _require_writable(folder: Path) -> None:
    """InputError if a new folder could not be made there: better known before any work than after."""
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise InputError(f"{folder}: nothing can be written in {place} ({error.strerror})") from None


_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENOMEM)
"""Faults that no other input would mend."""


_RENAMED = {"score": "evaluate", "--film": "--trajectory", "--no-film": "--no-trajectory"}
"""Commands and flags of every domain; a domain's own are `Task.renamed_flags`."""


def _renewed(argv: Sequence[str]) -> list[str]:
    """The arguments with old commands and flags by their new names, each with a line on stderr."""
    command, *rest = argv
    command = _new(command, _RENAMED)
    flags = dict(_RENAMED)
    if named := _target([command, *rest], "sample", "the model"):
        from .tasks import runs

        flags |= runs.task_of(named).renamed_flags
    return [command, *(_new(word, flags) if word.startswith("-") else word for word in rest)]


def _new(word: str, table: Mapping[str, str]) -> str:
    name, equals, value = word.partition("=")
    if name not in table:
        return word
    print(f"ornstein: {name} is now {table[name]}; the old name will go in {GONE}", file=sys.stderr)
    return table[name] + equals + value


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    allow_named(argv)
    try:
        argv = _renewed(argv)
        commands = {
            "tour": tour,
            "train": _train_command(argv),
            "sample": _sample_command(argv),
            "evaluate": evaluate,
            "show": show,
            "merge": merge,
            "models": models,
            "doctor": doctor,
        }
        tyro.extras.subcommand_cli_from_dict(commands, prog="ornstein", description=PROGRAM, args=argv)
    except (InputError, TrainingError, SamplingError, Interrupted) as error:
        return _stopped(error, error.exit_code)
    except KeyboardInterrupt:
        return _stopped("stopped; nothing was written", Interrupted.exit_code)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else error
        return _stopped(why, 1 if error.errno in _OF_THE_MACHINE else InputError.exit_code)
    return 0


def _stopped(why: object, exit_code: int) -> int:
    print(f"ornstein: {printable(why)}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())

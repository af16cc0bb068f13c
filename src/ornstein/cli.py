"""The command line: a handful of commands, their flags generated from typed functions and configurations.

Exit codes: 0 done, 1 failed, 2 the input is not what it must be, 3 stopped early with everything saved.
"""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from .code import allow_named
from .commands.exits import one_voice, working_in
from .commands.flags import flags_of, parse
from .commands.manual import EXAMPLES, PROGRAM, completion, manual, overview
from .commands.sampling import sampling
from .commands.sets import data, making
from .commands.targets import TARGETS, listed, target_in
from .config import nearest
from .deprecation import renamed_word
from .errors import InputError, Interrupted, exit_code, why
from .studio.serving import studio
from .text.escaping import printable
from .training.stopping import interruptible


def tour(out: Path = Path("tour"), seed: int = 0, full: bool = False) -> None:
    """Draw from every shipped model and write one self-contained page, which grows as its chapters are finished.

    Args:
        out: the folder to write; index.html is the page.
        seed: of all the samples.
        full: as many samples and steps as a judgement needs, every score measured anew: about half an hour.
    """
    from .events import finished
    from .events.progress import console, drawing_progress
    from .report.tour import PAGE, plan
    from .report.tour import tour as build

    console.print(f"{plan(full)}; open {out / PAGE}: it grows as chapters are finished", markup=False, highlight=False)
    with drawing_progress() as show:
        page = finished(build.events(out, seed, full), show)
    print(page)


def evaluate(folder: str, /, data: str | None = None, allow_code: bool = False, code: Path | None = None) -> None:
    """Score a folder of samples as its field does; the result goes to scores.json there.

    Args:
        folder: what `ornstein sample` wrote, or the URL of shards.
        data: the file or folder that the model learned from, if it was one of yours.
        allow_code: run the Python file that the samples' energy is in, if you trust it.
        code: the same, and where that file is now.
    """
    from .events import heard_by
    from .events.progress import Lines, console
    from .report.terminal import metric_table
    from .tasks import evaluating

    with heard_by(Lines()):
        metrics = evaluating.evaluate(folder, data=data, allow_code=code or allow_code)
    console.print(metric_table(metrics, folder))


def show(path: str, /, allow_code: bool = False, code: Path | None = None) -> None:
    """Show a folder of samples, a training run or a shipped model: in words here, and as report.html beside it.

    Args:
        path: a folder, or a shipped model's name.
        allow_code: run the Python file that the samples' energy is in, if you trust it.
        code: the same, and where that file is now.
    """
    from .events.progress import console
    from .report.show import show as build

    for part in build(path, code or allow_code):
        console.print(part)


def trust(
    folder: str,
    /,
    model: str | None = None,
    data: str | None = None,
    out: Path | None = None,
    allow_code: bool = False,
    code: Path | None = None,
) -> None:
    """Say what was claimed of samples, what holds when it is tested anew, and what could still be wrong: one page.

    The page is written, too. The exit code is 1 if the samples are not to be trusted.

    Args:
        folder: what `ornstein sample` wrote.
        model: the run, file or shipped model that they are said to be of, whose weights are compared.
        data: the file or folder that the model learned from, if it was one of yours.
        out: the page to write; trust.html in the folder if not given.
        allow_code: run the Python file that the samples' energy is in, if you trust it.
        code: the same, and where that file is now.
    """
    from .events.progress import console
    from .files import write_text
    from .report.trust import trust as examined
    from .report.trust.page import page, printed

    report = examined(folder, model=model, data=data, allow_code=code or allow_code)
    path = out or Path(folder) / "trust.html"
    write_text(path, page(report))
    console.print(printed(report))
    _say(f"\n{path}")
    raise SystemExit(0 if report.trusted else 1)


def merge(folders: tuple[str, ...], /, *, out: Path, allow_code: bool = False, code: Path | None = None) -> None:
    """Put the samples of several folders together: parts of one run, drawn with --first, by whichever worker.

    Args:
        folders: what `ornstein sample` wrote, in any order; their numbers must follow one another. The URL of shards
            is one that was given as --out with --on dask.
        out: the folder to write.
        allow_code: run the Python file that the samples' energy is in, if you trust it.
        code: the same, and where that file is now.
    """
    from .tasks.storage.merging import merge as put_together
    from .tasks.storage.unfinished import require_absent

    require_absent(out)
    samples = put_together(folders, out=out, allow_code=code or allow_code)
    _say(f"{samples}\n{out}")


def models() -> None:
    """List the shipped models."""
    from .events.progress import console
    from .report.listing import shipped_table

    console.print(shipped_table(), soft_wrap=False)


def doctor() -> None:
    """Check the installation: versions, devices, extras, shipped weights, and a draw from a known distribution."""
    from .report.doctor import examine

    raise SystemExit(examine())


def complete(shell: str, /) -> None:
    """Print a script with which bash or zsh completes commands, models and flags.

    Put its output into a file that your shell reads, such as ~/.bashrc or ~/.zshrc.

    Args:
        shell: bash or zsh.
    """
    from .commands.sets import sets
    from .tasks import runs
    from .tasks.registry import broken, domains, names, task

    usable = [domain for domain in domains() if domain not in broken()]
    trained = {domain: _options(_train(domain, None, runs.recipe(domain, None))) for domain in usable}
    drawn = {domain: _options(sampling(task(domain).request_type)) for domain in usable}
    flags = {f"train:{domain}*": known for domain, known in trained.items()}
    flags |= {f"sample:{domain}/*": known for domain, known in drawn.items()}
    flags |= {f"data:{name}": _options(function) for name, function in sets().items()}
    flags["sample:*"] = [
        option for option in next(iter(drawn.values())) if all(option in own for own in drawn.values())
    ]
    models = names("models/*/model.safetensors")
    targets = {
        "data": list(sets()),
        "train": [*usable, *names("recipes/*.toml")],
        "sample": models,
        "show": [*models, *names("models/*/regressor.safetensors")],
    }
    print(completion(shell, list(_COMMANDS), targets, flags), end="")


def _options(function: Callable[..., Any]) -> list[str]:
    return [flag.option for flag in flags_of(function)]


def _train(domain: str, name: str | None, default: Any) -> Callable[..., None]:
    """`train`, with the flags of a domain; `default` is the configuration that they are laid over."""

    def train(
        target: str,
        /,
        settings: Any = default,
        *,
        config: Path | None = None,
        out: Path | None = None,
        resume: bool = False,
    ) -> None:
        """Train a model.

        Args:
            target: a domain, or domain/recipe, such as images/digits.
            settings: the data and the model.
            config: a TOML file laid over the recipe; flags are laid over both.
            out: the run folder; runs/DOMAIN-RECIPE if not given.
            resume: go on with the run in that folder.
        """
        from .commands.launch import is_first
        from .events.progress import Lines, training_progress
        from .tasks import runs

        folder = out or Path("runs") / target.replace("/", "-")
        if not is_first():  # of several processes one speaks
            with working_in(folder):
                runs.train(domain, name or folder.name, settings, folder, resume)
            return
        waiting = Lines()
        with working_in(folder), training_progress(settings.train) as show:

            def progress(row: dict[str, Any]) -> None:
                show(row)
                waiting.begin()

            print(runs.train(domain, name or folder.name, settings, folder, resume, progress, _say, callback=waiting))

    return train


def _say(text: object) -> None:
    """Prints what may quote somebody else's file."""
    print(printable(text))


def _sample_what(model: str, /) -> None:
    """Draw samples from a model; `ornstein sample MODEL --help` lists what can be asked of it.

    Args:
        model: a shipped model's name, a run folder or a weights file.
    """
    raise InputError(f"{model}: nothing was asked of it")


def _train_what(target: str, /) -> None:
    """Train a model on a domain's data; `ornstein train DOMAIN --help` lists what can be set.

    Args:
        target: a domain, or domain/recipe, such as images/digits.
    """
    raise InputError(f"{target}: nothing was set")


_COMMANDS: Mapping[str, Callable[..., None]] = {
    "tour": tour,
    "data": data,
    "train": _train_what,
    "sample": _sample_what,
    "evaluate": evaluate,
    "show": show,
    "trust": trust,
    "merge": merge,
    "models": models,
    "studio": studio,
    "doctor": doctor,
    "complete": complete,
}


def _command(argv: Sequence[str]) -> tuple[str, Callable[..., None], Sequence[str]]:
    """A command's words, its function, with the flags of its target, and examples; InputError if there is none."""
    command = argv[0]
    if command not in _COMMANDS:
        known = list(_COMMANDS)
        raise InputError(f"no command {command!r}{nearest(command, known)}\nAvailable subcommands: {', '.join(known)}")
    if command == "data" and argv[1:] and argv[1] not in ("-h", "--help"):
        return f"data {argv[1]}", making(argv[1]), ()
    target = target_in(argv)
    if target is None:
        return command, _COMMANDS[command], [one for one in EXAMPLES if one.startswith(f"ornstein {command} ")]
    from .tasks import runs
    from .tasks.registry import task

    if command == "sample":
        this = runs.task_of(target)
        function = sampling(this.request_type)
    else:
        domain, _, name = target.partition("/")
        this = task(domain)
        function = _train(domain, name or None, runs.recipe(domain, name or None, _config_file(argv)))
    return command, function, [f"ornstein {one}" for one in this.examples if one.startswith(f"{command} ")]


def _config_file(argv: Sequence[str]) -> Path | None:
    """The file after --config: needed before the other flags are read, whose defaults it sets."""
    words = [part for word in argv for part in word.split("=", 1)]
    return next((Path(value) for flag, value in pairwise(words) if flag == "--config"), None)


_RENAMED = {"score": "evaluate", "--film": "--trajectory", "--no-film": "--no-trajectory"}
"""Commands and flags of every domain; a domain's own are `Task.renamed_flags`."""


def _renewed(argv: Sequence[str]) -> list[str]:
    """The arguments with old commands and flags by their new names, each with a line on stderr."""
    command, *rest = argv
    command = renamed_word(command, _RENAMED)
    flags = dict(_RENAMED)
    if command == "sample" and (named := target_in([command, *rest])):
        from .tasks import runs

        flags |= runs.task_of(named).renamed_flags
    return [command, *(renamed_word(word, flags) if word.startswith("-") else word for word in rest)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    allow_named(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our letters shows others, and loses nothing
    try:
        with interruptible():
            _run(argv)
    except KeyboardInterrupt:
        return _stopped("stopped", Interrupted.exit_code)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        return _stopped(why(error), code)
    return 0


def _run(argv: Sequence[str]) -> None:
    if argv[0] in ("-h", "--help"):
        _told(overview(_COMMANDS, PROGRAM, EXAMPLES))
    if argv[0] == "--version":
        _told(f"ornstein {version('ornstein')}, torch {version('torch')}, Python {platform.python_version()}")
    with one_voice():
        argv = _renewed(argv)
    words, function, examples = _command(argv)
    with one_voice():
        if "-h" in argv or "--help" in argv:
            bare = argv[0] in TARGETS and function is _COMMANDS[argv[0]]
            _told(manual(f"ornstein {words}", function, examples) + (f"\n\n{listed(argv[0])}" if bare else ""))
        positional, named = parse(words, function, argv[len(words.split()) :])
    function(*positional, **named)


def _told(text: str) -> NoReturn:
    print(text)
    raise SystemExit(0)


def _stopped(said: str, code: int) -> int:
    print(f"ornstein: {printable(said)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

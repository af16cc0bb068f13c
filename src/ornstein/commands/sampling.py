"""`ornstein sample`: what was asked of a model, drawn into a new folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config import SampleConfig
from ..escaping import printable
from .exits import require_writable, working_in


def sampling(request_type: type) -> Callable[..., None]:
    """`sample`, with the flags of a domain; `request_type` is what may be asked of its models."""

    def sample(
        model: str,
        /,
        asked: Any = request_type(),  # noqa: B008
        how: SampleConfig = SampleConfig(),  # noqa: B008
        *,
        out: Path | None = None,
        resume: bool = False,
        allow_code: bool = False,
        code: Path | None = None,
    ) -> None:
        """Draw samples into a new folder, in the field's own files, with a manifest.

        Until all are there, those that have finished are in OUT.part, whole; members.json there says which.

        Args:
            model: a shipped model's name, a run folder or a weights file.
            asked: what to draw.
            how: how to draw.
            out: the folder; samples/MODEL-SEED if not given, with -FIRST behind it where numbers begin later.
            resume: draw the rest of what was begun in that folder and cut off; all else must be asked for as it was.
            allow_code: run the Python file that the model's energy is in, if you trust it.
            code: the same, and where that file is now.
        """
        from ..events import finished
        from ..tasks import runs
        from ..tasks.requests import drawing
        from ..tasks.unfinished import require_place
        from .launch import progress_of, ranked

        folder = out or Path("samples") / f"{Path(model).name}-{how.seed}{f'-{how.first}' if how.first else ''}"
        with ranked(how) as ranks:
            kept: dict[str, Any] = {"out": folder, "resume": resume} if ranks.rank == 0 else {}
            if kept:
                require_place(folder, resume)
                require_writable(folder)
            options = {name: value for name, value in vars(how).items() if value is not None and value is not False}
            options |= {"ranks": ranks} if ranks.size > 1 else {}
            device = runs.pick_device(options.pop("device"))
            denoiser = runs.load(model, device, allow_code=code or allow_code)
            with working_in(folder), progress_of(ranks) as show:
                stream = drawing(denoiser, asked, options.pop("n", None), **kept, **options)
                samples = finished(stream, show)
        if kept:
            print(printable(f"{samples}\n{folder}"))

    return sample

"""`ornstein sample`: what was asked of a model, drawn into a new folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config import SampleConfig
from ..escaping import printable
from .asks import checked, draw_file, options_of, unchecked
from .exits import require_writable, working_in


def sampling(request_type: type) -> Callable[..., None]:
    """`sample`, with the flags of a domain; `request_type` is what may be asked of its models."""

    def sample(
        model: str,
        /,
        asked: Any = unchecked(request_type)(),  # noqa: B008
        how: SampleConfig = SampleConfig(),  # noqa: B008
        *,
        requests: Path | None = None,
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
            requests: a file of many requests, a JSON object of flags a line, such as {"name": "three", "n": 8}: each is
                drawn into the folder of its name in that of --out, of the number of its line if it has no name. What
                other flags say holds for every line that does not say otherwise.
            out: the folder; samples/MODEL-SEED if not given, with -FIRST behind it where numbers begin later;
                samples/FILE for a file of requests.
            resume: draw the rest of what was begun in that folder and cut off; all else must be asked for as it was.
            allow_code: run the Python file that the model's energy is in, if you trust it.
            code: the same, and where that file is now.
        """
        from ..events import finished
        from ..progress import drawing_progress
        from ..tasks import runs
        from ..tasks.requests import drawing
        from ..tasks.unfinished import require_place

        def load() -> Any:
            return runs.load(model, runs.pick_device(how.device), allow_code=code or allow_code)

        if requests is not None:
            folder = out or Path("samples") / requests.stem
            return draw_file(requests, runs.task_of(model), asked, how, folder, resume, load)
        asked = checked(asked, request_type)
        folder = out or Path("samples") / f"{Path(model).name}-{how.seed}{f'-{how.first}' if how.first else ''}"
        require_place(folder, resume)
        require_writable(folder)
        options = options_of(how)
        denoiser = load()
        with working_in(folder), drawing_progress() as show:
            stream = drawing(denoiser, asked, options.pop("n", None), out=folder, resume=resume, **options)
            samples = finished(stream, show)
        print(printable(f"{samples}\n{folder}"))

    return sample

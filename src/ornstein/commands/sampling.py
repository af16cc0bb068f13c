"""`ornstein sample`: what was asked of a model, drawn into a new folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..config import SampleConfig, SpreadConfig
from ..escaping import printable
from .exits import require_writable, working_in


def sampling(request_type: type) -> Callable[..., None]:
    """`sample`, with the flags of a domain; `request_type` is what may be asked of its models."""

    def sample(
        model: str,
        /,
        asked: Any = request_type(),  # noqa: B008
        how: SampleConfig = SampleConfig(),  # noqa: B008
        spread: SpreadConfig = SpreadConfig(),  # noqa: B008
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
            spread: who draws.
            out: the folder; samples/MODEL-SEED if not given, with -FIRST behind it where numbers begin later.
            resume: draw the rest of what was begun in that folder and cut off; all else must be asked for as it was.
            allow_code: run the Python file that the model's energy is in, if you trust it.
            code: the same, and where that file is now.
        """
        from ..events import finished
        from ..progress import drawing_progress
        from ..tasks import runs
        from ..tasks.requests import drawing
        from ..tasks.unfinished import require_place

        folder = out or Path("samples") / f"{Path(model).name}-{how.seed}{f'-{how.first}' if how.first else ''}"
        require_place(folder, resume)
        require_writable(folder)
        options = {name: value for name, value in vars(how).items() if value is not None and value is not False}
        device = options.pop("device")
        with pool_for(spread) as pool, working_in(folder), drawing_progress() as show:
            if pool is None:
                device = runs.pick_device(device)
            else:  # whose devices only its workers know
                options |= {"on": pool, "shard": spread.shard, "device": worker_device(device)}
            denoiser = runs.load(model, device if pool is None else "cpu", allow_code=code or allow_code)
            stream = drawing(denoiser, asked, options.pop("n", None), out=folder, resume=resume, **options)
            samples = finished(stream, show)
        print(printable(f"{samples}\n{folder}"))

    return sample


@contextmanager
def pool_for(spread: SpreadConfig) -> Iterator[Any]:
    """The workers that draw, which are given back in the end; None where this process draws.

    Args:
        spread: who draws.
    """
    if spread.on is None:
        yield None
        return
    from ..distributed.pools import Dask

    with Dask.local(spread.workers) if spread.scheduler is None else Dask.at(spread.scheduler) as pool:
        yield pool


def worker_device(name: str) -> str:
    """The device on which workers draw: "auto" is CUDA if there is one here.

    Args:
        name: auto, cpu or cuda.
    """
    from ..tasks.runs import pick_device

    return pick_device(name) if name == "auto" else name

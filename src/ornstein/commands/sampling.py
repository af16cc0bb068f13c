"""`ornstein sample`: what was asked of a model, drawn into a new folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..config import SampleConfig, SpreadConfig
from ..escaping import printable
from .asks import checked, draw_asks, options_of, readable, unchecked
from .exits import require_writable, working_in


def sampling(request_type: type) -> Callable[..., None]:
    """`sample`, with the flags of a domain; `request_type` is what may be asked of its models."""

    def sample(
        model: str,
        /,
        asked: Any = unchecked(request_type)(),  # noqa: B008
        how: SampleConfig = SampleConfig(),  # noqa: B008
        spread: SpreadConfig = SpreadConfig(),  # noqa: B008
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
            spread: who draws.
            requests: a file of many requests, a JSON object of flags a line, such as {"name": "three", "n": 8}: each is
                drawn into the folder of its name in that of --out, of the number of its line if it has no name. What
                other flags say holds for every line that does not say otherwise. With --on each worker draws one.
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

        def load(pool: Any) -> Any:  # to be sent, if workers draw, whose devices only they know
            device = runs.pick_device(how.device) if pool is None else "cpu"
            return runs.load(model, device, allow_code=code or allow_code)

        if requests is not None:
            folder = out or Path("samples") / requests.stem
            asks = readable(requests, runs.task_of(model), asked, how, spread, folder, resume)
            with pool_for(spread) as pool:
                device = None if pool is None else worker_device(how.device)
                return draw_asks(requests, asks, load(pool), folder, resume=resume, on=pool, device=device)
        asked, options = checked(asked, request_type), options_of(how)
        folder = out or Path("samples") / f"{Path(model).name}-{how.seed}{f'-{how.first}' if how.first else ''}"
        require_place(folder, resume)
        require_writable(folder)
        with pool_for(spread) as pool:
            denoiser = load(pool)
            if pool is not None:
                options |= {"on": pool, "shard": spread.shard, "device": worker_device(how.device)}
            with working_in(folder), drawing_progress() as show:
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

"""`ornstein sample`: what was asked of a model, drawn into a new folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import SampleConfig, SpreadConfig
from ..distributed.places import Place, is_url
from ..errors import InputError
from ..text.escaping import printable
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
        out: str | None = None,
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
                samples/FILE for a file of requests. With --on also a URL, such as s3://bucket/run, where workers put
                shards; merge and evaluate read it.
            resume: draw the rest of what was begun in that folder and cut off; all else must be asked for as it was.
            allow_code: run the Python file that the model's energy is in, if you trust it.
            code: the same, and where that file is now.
        """
        source = Source(model, how.device, code or allow_code)
        if requests is not None:
            _draw_requests(source, requests, asked, how, spread, out, resume)
        else:
            place = out or f"samples/{Path(model).name}-{how.seed}{f'-{how.first}' if how.first else ''}"
            _draw(source, checked(asked, request_type), how, spread, place, resume)

    return sample


@dataclass(frozen=True)
class Source:
    """The model that is drawn from.

    Attributes:
        model: a shipped model's name, a run folder or a weights file.
        device: auto, cpu or cuda.
        allow_code: see `load`.
    """

    model: str
    device: str
    allow_code: bool | Path

    def load(self, spread: SpreadConfig) -> Any:
        """The model where it is to draw; on the CPU to be sent, if workers draw, whose devices only they know."""
        from ..tasks import runs

        device = runs.pick_device(self.device) if spread.on is None else "cpu"
        return runs.load(self.model, device, allow_code=self.allow_code)

    @property
    def worker_device(self) -> str:
        """The device on which workers draw: "auto" is CUDA if there is one here."""
        from ..tasks.runs import pick_device

        return pick_device(self.device) if self.device == "auto" else self.device


def _draw(source: Source, asked: Any, how: SampleConfig, spread: SpreadConfig, out: str, resume: bool) -> None:
    """Draws what was asked for into a folder, or to a URL; of several ranks the first one writes."""
    from ..events import finished
    from ..tasks.requests import drawing
    from .launch import progress_of, ranked, require_alone

    if spread.on is not None:
        require_alone(f"--on {spread.on}")
    with ranked(how) as ranks:
        named = _checked_place(out, resume) if ranks.rank == 0 else out
        options: dict[str, Any] = {"out": out, "resume": resume} if ranks.rank == 0 else {}
        options |= options_of(how) | ({"ranks": ranks} if ranks.size > 1 else {})
        model = source.load(spread)
        with pool_for(spread) as pool, working_in(named), progress_of(ranks) as show:
            if pool is not None:
                options |= {"on": pool, "shard": spread.shard, "device": source.worker_device}
            samples = finished(drawing(model, asked, options.pop("n", None), **options), show)
    if ranks.rank == 0:
        files = f"\nornstein merge {named} --out FOLDER writes files of them, ornstein evaluate {named} scores"
        together = "" if spread.on is None else "\nseconds are those of all workers together"
        print(printable(f"{samples}{together}\n{named}{files if is_url(out) else ''}"))


def _checked_place(out: str, resume: bool) -> str:
    """The name of a place that can be drawn to; InputError before any work if it is none."""
    from ..tasks.storage.unfinished import require_place

    if is_url(out):
        return str(Place(out))
    require_place(Path(out), resume)
    require_writable(Path(out))
    return out


def _draw_requests(
    source: Source, path: Path, asked: Any, how: SampleConfig, spread: SpreadConfig, out: str | None, resume: bool
) -> None:
    """Draws what every line of a file asks for, each into a folder of its own."""
    from ..tasks import runs
    from .launch import require_alone

    require_alone("--requests")
    if out is not None and is_url(out):
        raise InputError(f"--out {out}: requests from a file are drawn into folders, not to a URL")
    folder = Path(out) if out is not None else Path("samples") / path.stem
    asks = readable(path, runs.task_of(source.model), asked, how, spread, folder, resume)
    model = source.load(spread)
    with pool_for(spread) as pool:
        device = None if pool is None else source.worker_device
        draw_asks(path, asks, model, folder, resume=resume, on=pool, device=device)


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

    at, patience = spread.scheduler, spread.patience
    with Dask.local(spread.workers, patience=patience) if at is None else Dask.at(at, patience) as pool:
        yield pool

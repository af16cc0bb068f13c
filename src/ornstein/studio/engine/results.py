"""Folders of samples as JSON: what a result is and shows, and the gallery of all of them.

What a page shows of a result is made once, by a worker, and kept beside the results in OUT/.studio/ID: view.json and
the files of its figures, and card.json, the little of it that the gallery needs. Listing and showing results afterwards
takes no worker and no torch. The samples' own folder is left as it is. Scores are read anew each time, so that those of
an evaluation are there at once.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...config import to_dict
from ...errors import InputError
from ...files import LISTING, MB, inside, own, plain, read_json, write_atomic, write_json, write_text
from ...tasks.figures import Figure, Interactive, Metric
from ...tasks.scores import latest_metrics
from ...tasks.storage.unfinished import counted, folder_of, is_unfinished, part_of, read_members
from .queueing import Order

if TYPE_CHECKING:
    from ...tasks.samples import Samples

HIDDEN, VIEW, CARD, ORDER, MANIFEST = ".studio", "view.json", "card.json", "order.json", "manifest.json"
SHOWN = 16
"""Samples of which a cover is made, and a frame on the way."""
_FILES = 200
_SUFFIXES = {"png": "png", "gif": "gif", "svg+xml": "svg"}
_MANIFEST = {"model": {"domain": str, "name": str}, "n": int, "created": str, "seconds": float}
_CARD = {"of": [int], "by": str, "model": str, "n": int, "created": str, "seconds": float, "verdict": str}
_VIEW = {"of": [int], "by": str, "figures": [dict]}
_ORDER = {"model": str, "flat": dict, "asked": dict, "command": str, "python": str}


class NotThere(LookupError):
    """There is no job and no result of that id: HTTP 404."""


def folder(out: Path, id: str) -> Path:
    """The folder of a result, which may be there or not; NotThere for what is no name of one, and for links."""
    if not id.isprintable() or id.startswith(".") or "/" in id or "\\" in id or id != Path(id).name:
        raise NotThere(f"no result {id!r}")
    if (out / id).is_symlink():
        raise NotThere(f"{id!r} is a link, which the studio does not follow")
    return out / id


def hidden(out: Path, id: str) -> Path:
    """Where the view of a result is kept."""
    return out / HIDDEN / folder(out, id).name


# Made by a worker -------------------------------------------------------------------------------------


def make_view(out: Path, id: str) -> None:
    """Makes the view of a finished result; InputError if its folder cannot be read."""
    from ...report.settings import in_words
    from ...report.show import called, films
    from ...tasks.registry import task
    from ...tasks.samples import read_samples

    place, samples = hidden(out, id), read_samples(folder(out, id))
    assert samples.origin is not None
    this = task(samples.origin.domain)
    place.mkdir(parents=True, exist_ok=True)
    figures = [*this.figures(samples)]
    figures += films(folder(out, id), figures)
    blank, model = this.request_type(), called(samples.origin)
    _, *rest = in_words(model, len(samples), samples.settings, blank)
    again = _order(place) or repeated(model, len(samples), samples.settings, blank, id)
    exactness = _exactness(samples)
    made = {"of": _stamp(folder(out, id)), "by": version("ornstein")}
    said = {
        "model": f"{samples.origin.domain}/{samples.origin.name}",
        "n": len(samples),
        "created": samples.created,
        "seconds": samples.seconds,
        "cover": _cover(this.frame(samples[: min(SHOWN, len(samples))]), figures, out, place),
    }
    view = {
        **said,
        "nfe": samples.nfe,
        "gradients": samples.gradients,
        "exactness": exactness,
        "figures": [_kept(figure, out, place, str(k)) for k, figure in enumerate(figures)],
        "settings": rest,
        **{name: again[name] for name in ("asked", "command", "python")},
    }
    write_json(place / VIEW, {**made, **view})
    write_json(place / CARD, {**made, **said, "verdict": exactness["verdict"]})


def repeated(model: str, n: int | None, settings: Mapping[str, Any], blank: Any, id: str) -> dict[str, Any]:
    """The flags that samples are drawn with, and the command and the program that draw them again.

    Args:
        model: that the command line and `load` take.
        n: how many; None leaves it to the request.
        settings: of the samples.
        blank: a request of the domain that asks for nothing.
        id: of the result, for the name of the folder that the program saves.
    """
    from ...report.settings import in_python, in_words, said

    command = dict(in_words(model, n, settings, blank))["command"]
    asked = {**({} if n is None else {"n": n}), **said(settings, blank)}
    return {"asked": asked, "command": command, "python": in_python(model, n, settings, blank, id)}


def _order(place: Path) -> Mapping[str, Any]:
    """What was ordered here, if it was the studio that drew it."""
    path = own(place, ORDER)
    return read_json(path, "what was asked of the studio", _ORDER) if path.exists() else {}


def _exactness(samples: "Samples") -> dict[str, Any]:
    """Whether samples are what was asked for, in words and in numbers; `holds` is None where nothing was measured."""
    exact = samples.exactness
    return {
        "verdict": replace(samples, notes=()).verdict if exact is None else exact.verdict,
        "holds": None if exact is None else exact.holds,
        "rows": [] if exact is None else [list(row) for row in exact.rows()],
        "notes": list(samples.notes),
    }


def _cover(frame: Figure | None, figures: Sequence[Figure | Interactive], out: Path, place: Path) -> str | None:
    """The file of the picture that stands for a result; None if it has none."""
    pictures = [frame, *(figure for figure in figures if isinstance(figure, Figure))]
    chosen = next((picture for picture in pictures if picture is not None), None)
    return None if chosen is None else _kept(chosen, out, place, "cover")["file"]


def _kept(figure: Figure | Interactive, out: Path, place: Path, name: str) -> dict[str, Any]:
    """Writes a figure; returns what view.json says of it."""
    if isinstance(figure, Interactive):
        return {
            "kind": "interactive",
            "fragment": figure.fragment,
            "script": keep_script(out, figure.script),
            "caption": figure.caption,
        }
    file = f"{name}.{_SUFFIXES[figure.kind]}"
    write_atomic(place / file, lambda path: path.write_bytes(figure.image))
    return {
        "kind": "image",
        "file": file,
        "caption": figure.caption,
        "alt": figure.alt or figure.caption,
        "width": figure.width,
    }


def data_url(figure: Any) -> str:
    """A figure as an address that holds it."""
    return f"data:image/{figure.kind};base64,{b64encode(figure.image).decode()}"


def keep_script(out: Path, script: str) -> str:
    """Keeps the script of an interactive figure under its SHA-256, which it returns."""
    digest = hashlib.sha256(script.encode()).hexdigest()
    path = out / HIDDEN / "scripts" / f"{digest}.js"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, script)
    return digest


def script(out: Path, digest: str) -> Path:
    """The file of a script by its SHA-256; NotThere if there is none."""
    path = out / HIDDEN / "scripts" / f"{digest}.js"
    if len(digest) != 64 or not digest.isalnum() or not path.is_file():
        raise NotThere(f"no script {digest!r}")
    return path


# Read by the server -----------------------------------------------------------------------------------


def view(out: Path, id: str) -> dict[str, Any] | None:
    """The view of a finished result as JSON; None if it has not been made, or of other samples than these.

    NotThere if there is no such result; InputError if its folder is not what it must be.
    """
    found, where, base = _made(out, id, VIEW, _VIEW), folder(out, id), _base(id)
    return found and {
        **found,
        "id": id,
        "folder": str(where),
        "figures": [_placed(figure, base, k) for k, figure in enumerate(found["figures"])],
        "metrics": [metric_row(metric) for metric in latest_metrics(where)],
        **_listed(where, base),
    }


def _made(out: Path, id: str, name: str, schema: Any) -> dict[str, Any] | None:
    """A file that `make_view` has written; None if there is none, or it was made of other samples or otherwise."""
    where, path = folder(out, id), own(hidden(out, id), name)
    if not (where / MANIFEST).is_file():
        raise NotThere(f"no result {id!r}")
    if not path.is_file():
        return None
    try:
        found = read_json(path, "what the studio shows of samples", schema, limit=256 * MB)
    except InputError:  # damaged: it is made anew
        return None
    if (found.pop("of"), found.pop("by")) != (_stamp(where), version("ornstein")):
        return None
    return {**found, "cover": f"{_base(id)}/figures/cover" if found.get("cover") else None}


def _base(id: str) -> str:
    """The address of a result."""
    return f"/v1/samples/{quote(id)}"


def _placed(figure: Mapping[str, Any], base: str, k: int) -> dict[str, Any]:
    """A figure with the addresses of what it needs."""
    if figure["kind"] == "interactive":
        return {**figure, "script": f"/v1/scripts/{figure['script']}.js"}
    return {**{name: value for name, value in figure.items() if name != "file"}, "src": f"{base}/figures/{k}"}


def _listed(where: Path, base: str) -> dict[str, Any]:
    """The files of a result, no more of them than a page has room for."""
    names = sorted(name for name, _ in files(where))
    sizes = ((name, (where / name).stat().st_size) for name in names[:_FILES])
    rows = [{"name": name, "size": size, "url": f"{base}/files/{quote(name)}"} for name, size in sizes]
    return {"files": rows, "more_files": len(names) - len(rows)}


def files(where: Path) -> Iterator[tuple[str, Path]]:
    """The names and paths of all files in the folder of a result, but for links and names that are no text."""
    for path in where.rglob("*"):
        if path.name.isprintable() and path.is_file() and not path.is_symlink():
            yield path.relative_to(where).as_posix(), path


def file(out: Path, id: str, name: str) -> Path:
    """A file of a result; NotThere if there is none of that name in its folder."""
    try:
        return inside(folder(out, id), name, id)
    except InputError as error:
        raise NotThere(str(error)) from None


def figure(out: Path, id: str, name: str) -> Path:
    """The file of a figure by its number, or of the "cover"; NotThere if there is none."""
    place = hidden(out, id)
    if name == "cover" or (name.isascii() and name.isdigit()):
        for suffix in _SUFFIXES.values():
            if (path := place / f"{name}.{suffix}").is_file():
                return path
    raise NotThere(f"no figure {name!r} of {id!r}")


def metric_row(metric: Metric) -> dict[str, Any]:
    """A score as JSON."""
    return {
        "name": metric.name,
        "value": plain(metric.value),
        "measured": metric.measured,
        "yardstick": metric.yardstick,
        "better": metric.better,
        "meaning": metric.meaning,
    }


def _stamp(where: Path) -> list[int]:
    """What changes when a folder of this name holds other samples."""
    found = (where / MANIFEST).stat()
    return [found.st_mtime_ns, found.st_size]


# The gallery ------------------------------------------------------------------------------------------


def gallery(out: Path, limit: int = 50, before: str = "") -> list[dict[str, Any]]:
    """What there is, the newest first; what cannot be read is there by name, with the reason as "error".

    Args:
        out: the folder of results.
        limit: at most so many.
        before: the id after which the list goes on; from the start if not given.
    """
    ids = [id for _, id in sorted(_found(out), reverse=True)]
    start = ids.index(before) + 1 if before in ids else 0
    return [entry(out, id) for id in ids[start : start + limit]]


def _found(out: Path) -> Iterator[tuple[int, str]]:
    """When results were last written, and their ids."""
    for path in out.iterdir() if out.is_dir() else ():
        if path.name.startswith(".") or not path.name.isprintable() or path.is_symlink():
            continue
        try:
            if (path / MANIFEST).is_file():
                yield (path / MANIFEST).stat().st_mtime_ns, path.name
            elif path == part_of(path) and is_unfinished(path) and not folder_of(path).exists():
                yield path.stat().st_mtime_ns, folder_of(path).name
        except OSError:  # gone meanwhile, or not ours to look into
            continue


def entry(out: Path, id: str) -> dict[str, Any]:
    """What the gallery says of one result."""
    try:
        return _unfinished(out, id) if is_unfinished(folder(out, id)) else _finished(out, id)
    except (InputError, OSError, NotThere) as error:
        return {"id": id, "error": str(error)}


def _finished(out: Path, id: str) -> dict[str, Any]:
    card = _made(out, id, CARD, _CARD)
    if card is not None:
        return {"id": id, **card, "viewed": True, "unfinished": None}
    path = own(folder(out, id), MANIFEST)
    said = read_json(path, "the manifest of a folder of samples", _MANIFEST, limit=LISTING)
    known = {name: said[name] for name in ("n", "created", "seconds")}
    model = f"{said['model']['domain']}/{said['model']['name']}"
    blank = {"cover": None, "verdict": None, "viewed": False, "unfinished": None}
    return {"id": id, "model": model, **known, **blank}


def _unfinished(out: Path, id: str) -> dict[str, Any]:
    said = read_members(part_of(folder(out, id)))
    model = f"{said['model']['domain']}/{said['model']['name']}"
    told = {"unfinished": counted(said), "resumable": bool(_order(hidden(out, id)))}
    return {"id": id, "model": model, "n": said["n"], "cover": None, "verdict": None, "viewed": True, **told}


# What was ordered -------------------------------------------------------------------------------------


def record(order: Order, id: str) -> dict[str, Any]:
    """What is noted of an order: its model and flags, and what draws the same again."""
    settings = {name: value for name, value in {**to_dict(order.asked), **order.how}.items() if name != "n"}
    device = {} if order.device == "auto" else {"device": order.device}
    again = repeated(order.model, order.how.get("n"), {**settings, **device}, type(order.asked)(), id)
    return {"model": order.model, "flat": plain(dict(order.flat)), **again}


def keep_order(out: Path, id: str, order: Mapping[str, Any]) -> None:
    """Notes what is drawn there, so that it can be resumed when the studio has been started anew.

    Args:
        out: the folder of results.
        id: of the result.
        order: its model, its flags ("flat"), and what `repeated` says of it.
    """
    place = hidden(out, id)
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / ORDER, order)


def forget_order(out: Path, id: str) -> None:
    """Removes what was noted of a drawing of which nothing is left."""
    with suppress(OSError):  # something else of it is there, or nothing can be written any more
        (hidden(out, id) / ORDER).unlink(missing_ok=True)
        hidden(out, id).rmdir()


def ordered(out: Path, id: str) -> tuple[str, dict[str, Any]]:
    """The model and the flags that a result of the studio was asked for with; NotThere if it is not one."""
    found = order(out, id)
    return found["model"], dict(found["flat"])


def order(out: Path, id: str) -> Mapping[str, Any]:
    """What is noted of an order; NotThere if the studio has begun nothing there."""
    found = _order(hidden(out, id))
    if not found:
        raise NotThere(f"{id}: was not begun in the studio, which knows nothing of what was asked for")
    return found

"""The routes: what comes over HTTP is handed to whoever knows what to do with it, and what goes wrong is JSON, too.

Requests and answers are listed in docs/studio.md and, for programs, in /openapi.json.
"""

import shutil
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from anyio import create_task_group
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ...commands.objects import parsed
from ...config import suggestion
from ...errors import InputError
from ...files import MB, plain
from ...tasks.registry import broken, task
from ..engine import results
from ..engine.queueing import MOST_OF_ONE, Busy, Job
from ..engine.results import NotThere
from ..engine.studio import Settings, Studio
from ..uploads.catalogue import listed
from ..uploads.references import Places
from ..uploads.store import TooLarge, Uploads
from . import forms, openapi
from .guarding import App, Guard, cookie_of
from .refusing import HANDLERS
from .streaming import HEADERS, News, last_event_id, lines, together

STATIC = Path(__file__).parents[1] / "static"
_LARGEST = {"/v1/hand": 32 * MB}
"""Bytes of a JSON body, where more than a quarter of a million are taken: what is asked for is told with every job."""


MOST_STREAMS = 200
"""Streams of events that are open at a time, of all pages together."""
in_thread = partial(run_sync, abandon_on_cancel=True)
"""Calls a function in a thread. When the server ends, nobody waits for one that imports a domain or packs a result."""


@dataclass
class Door:
    """All that the routes need.

    Attributes:
        settings: where results and runs are.
        data: the folder of files that may be chosen.
        upload_mb: the limit of an upload, in millions of bytes.
        host, token: see `Guard`.
    """

    settings: Settings = field(default_factory=Settings)
    data: Path | None = None
    upload_mb: int = 512
    host: str = "127.0.0.1"
    token: str = ""

    def __post_init__(self) -> None:
        self.studio = Studio(self.settings)
        self.studio.in_vain = self._forget_unused
        self.uploads = Uploads(self.upload_mb * MB)
        self.places = Places(self.uploads, self.settings.runs, self.data, inputs=self.settings.out / "inputs")
        self._streams = self._ordering = 0
        self.kept = replace(self.places, kept=self.settings.out / "inputs")

    def app(self) -> App:
        """The whole application, guarded."""
        routes = [
            Route("/", self.page),
            Route("/static/style.css", self.style),
            Mount("/static", _Static(directory=STATIC, check_dir=False)),
            Route("/openapi.json", self.schema),
            Route("/v1/login", self.log_in, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/form", self.form),
            Route("/v1/data", self.listed),
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files/{id}", self.remove, methods=["DELETE"]),
            Route("/v1/backdrop", self.backdrop, methods=["POST"]),
            Route("/v1/hand", self.hand, methods=["POST"]),
            Route("/v1/samples", self.draw, methods=["POST"]),
            Route("/v1/samples", self.samples),
            Route("/v1/samples/{id}", self.sample),
            Route("/v1/samples/{id}", self.cancel, methods=["DELETE"]),
            Route("/v1/samples/{id}/events", self.events),
            Route("/v1/events", self.all_events),
            Route("/v1/samples/{id}/resume", self.resume, methods=["POST"]),
            Route("/v1/samples/{id}/evaluation", self.evaluate, methods=["POST"]),
            Route("/v1/samples/{id}/trust", self.trust, methods=["POST"]),
            Route("/v1/samples/{id}/files/{path:path}", self.file),
            Route("/v1/samples/{id}/archive.zip", self.archive),
            Route("/v1/samples/{id}/figures/{k}", self.figure),
            Route("/v1/scripts/{sha}.js", self.script),
        ]
        app = Starlette(routes=routes, exception_handlers=HANDLERS, lifespan=self.open)  # pyright: ignore[reportArgumentType]
        return Guard(app, self.host, self.token)  # pyright: ignore[reportArgumentType]

    @asynccontextmanager
    async def open(self, app: Starlette) -> AsyncIterator[None]:
        """While the server runs; nothing of it is left afterwards but results."""
        self.uploads.open()
        try:
            await self.studio.start()
            async with create_task_group() as tasks:
                tasks.start_soon(in_thread, broken)  # the domains: seconds to load
                try:
                    yield
                finally:
                    await self.studio.stop()
                    tasks.cancel_scope.cancel()
        finally:
            self._forget_unused()
            self.uploads.close()

    def _forget_unused(self, of: Mapping[str, Any] | None = None) -> None:
        """Removes what was kept of uploads for samples of which nothing came: no order names it any more.

        Args:
            of: what was asked for in vain; everything if not given.
        """
        places = [place for place in self.uploads.kept if of is None or place.name in str(of)]
        if not places or self._ordering:
            return
        noted = (self.settings.out / results.HIDDEN).glob(f"*/{results.ORDER}")
        orders = [path.read_text(encoding="utf-8") for path in noted] + [
            str(job.order.flat) for job in self.studio.jobs()
        ]
        for place in places:
            if not any(place.name in order for order in orders):
                shutil.rmtree(place, ignore_errors=True)
                self.uploads.kept.discard(place)

    # The page and what it is told at first ----------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """The page, with which everything else is asked for."""
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def style(self, request: Request) -> Response:
        """The style sheet of reports, which the page shares."""
        from ...report import page

        path = Path(page.__file__).with_name("style.css")
        return FileResponse(path, headers={"cache-control": "no-cache"})

    async def schema(self, request: Request) -> Response:
        """The OpenAPI document of all routes."""
        return JSONResponse(await in_thread(openapi.document))

    async def log_in(self, request: Request) -> Response:
        """204 and a cookie for whoever gives the token as {"token": ...}; 401 otherwise."""
        token = (await _object(request)).get("token")
        if not (isinstance(token, str) and Guard(self.app, self.host, self.token).knows(token)):  # pyright: ignore[reportArgumentType]
            raise HTTPException(401, "that is not the token")
        answer = Response(status_code=204)
        answer.set_cookie(cookie_of(request.scope), token, httponly=True, samesite="strict", path="/")
        return answer

    async def models(self, request: Request) -> Response:
        """The models that can be drawn from: shipped, of own runs, and uploaded."""
        return _json(await in_thread(listed, self.places))

    async def form(self, request: Request) -> Response:
        """What can be asked of the model that ?model= names; see `forms.form`."""
        name = request.query_params.get("model")
        return _json(await in_thread(lambda: forms.form(self.places.model(name))))

    async def listed(self, request: Request) -> Response:
        """The files below the folder of --data that may be chosen."""
        return _json({"files": await in_thread(self.places.data_files)})

    # Files ------------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        """Takes a file for the field ?field= of a model's request, and answers with its reference."""
        said, query = request.headers.get("content-length"), request.query_params
        suffixes = await in_thread(self._suffixes, query.get("model"), query.get("field"))
        beside = query.get("with", "").removeprefix("file:")
        size = int(said) if said is not None and said.isdecimal() else None
        found = await self.uploads.receive(request.stream(), query.get("name", ""), suffixes, size, beside)
        return _json(found.record, 201)

    def _suffixes(self, model: str | None, name: str | None) -> Any:
        """Those of the files that a field of a model's request takes; any if None."""
        if name == "model":
            return (".safetensors",)
        return forms.suffixes_of(self.places.model(model), name or "")

    async def remove(self, request: Request) -> Response:
        """Removes an upload; 404 if there is none."""
        try:
            self.uploads.remove(request.path_params["id"].removeprefix("file:"))
        except InputError as error:
            raise HTTPException(404, str(error)) from None
        return Response(status_code=204)

    async def backdrop(self, request: Request) -> Response:
        """What is shown under the pointer where a field is made by hand."""
        return _json(await self.studio.ask("backdrop", **await in_thread(self._by_hand, await _object(request))))

    async def hand(self, request: Request) -> Response:
        """Makes a file of what was done with the pointer, and answers with its reference as for an upload."""
        body = await _object(request)
        asked = await in_thread(self._by_hand, body)
        if not isinstance(body.get("marks"), dict):
            raise InputError("marks is not there, or no object: what was done with the pointer")
        folder = self.uploads.new()
        try:
            made = await self.studio.ask("hand", **asked, marks=body["marks"], folder=folder)
            return _json(self.uploads.made(Path(made["path"])).record, 201)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _by_hand(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A model, a field of its request that can be made by hand, and the others as far as they are said."""
        model = self.places.model(body.get("model"))
        this, name = task(model.domain), str(body.get("field")).replace("-", "_")
        if name not in this.by_hand:
            known = suggestion(name, list(this.by_hand))
            raise InputError(f"field is {name!r}, expected one that can be made by hand{known}")
        said = body.get("given") or {}
        if not isinstance(said, dict):
            raise InputError("given is no object: the fields of the request so far")
        return {"model": model.source, "field": name, "given": forms.given(said, this, self.places)}

    # Samples ----------------------------------------------------------------------------------------------

    async def draw(self, request: Request) -> Response:
        """Begins to draw what a JSON object of flags asks for, and answers with the job's id before it is done."""
        body = await _object(request)
        await in_thread(forms.order, body, self.places)
        self._ordering += 1
        try:
            order = await in_thread(forms.order, body, self.kept)  # its files are kept, as its command names them
            job = self.studio.submit(order, _owner(request))
        finally:
            self._ordering -= 1
        return self._begun(job)

    async def resume(self, request: Request) -> Response:
        """Begins to draw the rest of a result that was not finished."""
        id = request.path_params["id"]
        order = await in_thread(lambda: forms.again(*results.ordered(self.settings.out, id)))
        return self._begun(self.studio.submit(order, _owner(request), resume=id))

    def _begun(self, job: Job) -> Response:
        status = self.studio.status(job)
        said = {name: status[name] for name in ("id", "state", "place")}
        return _json({**said, "url": f"/v1/samples/{job.id}"}, 202)

    async def samples(self, request: Request) -> Response:
        """The jobs, and the latest ?limit= results, those before ?before= if given."""
        query = request.query_params
        limit = query.get("limit", "50")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 500):
            raise InputError(f"limit is {limit[:20]!r}, expected a whole number from 1 to 500")
        found = await self.studio.gallery(int(limit), query.get("before", ""))
        return _json({"jobs": [self.studio.status(job) for job in self.studio.jobs()], "results": found})

    async def sample(self, request: Request) -> Response:
        """All that is known of one job or result."""
        return _json(await self.studio.found(request.path_params["id"]))

    async def cancel(self, request: Request) -> Response:
        """Cancels a job, and answers with its status."""
        return _json(self.studio.status(self.studio.cancel(request.path_params["id"])))

    async def events(self, request: Request) -> Response:
        """A job's events as a stream, from the one after Last-Event-ID on."""
        id, last = request.path_params["id"], last_event_id(request.headers.get("last-event-id"))
        if id not in {job.id for job in self.studio.jobs()}:
            await self.studio.found(id)  # which says that there is nothing of the kind before the stream begins
        return self._streamed(self.studio.subscribe(id, last, request.query_params.get("attached") == "1"))

    async def all_events(self, request: Request) -> Response:
        """Those of several jobs in one stream, as a browser has few connections; with the latest of each at first."""
        ids, attached = request.query_params.getlist("job"), request.query_params.get("attached") == "1"
        if not 1 <= len(ids) <= MOST_OF_ONE:
            raise InputError(f"{len(ids)} jobs are named, expected 1 to {MOST_OF_ONE}, as in ?job=ID&job=ID")
        for id in ids:
            if id not in {job.id for job in self.studio.jobs()}:
                await self.studio.found(id)
        return self._streamed(together({id: self.studio.subscribe(id, 0, attached) for id in ids}))

    def _streamed(self, news: AsyncIterator[News]) -> Response:
        """The answer that goes on for as long as there is news; Busy if too many do."""
        if self._streams >= MOST_STREAMS:
            raise Busy(f"{self._streams} streams of events are open already; close some, or try again later")
        self._streams += 1
        return StreamingResponse(self._counted(lines(news)), media_type="text/event-stream", headers=HEADERS)

    async def _counted(self, body: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in body:
                yield piece
        finally:
            self._streams -= 1
            await body.aclose()

    async def evaluate(self, request: Request) -> Response:
        """Metrics of a finished result."""
        return _json(await self.studio.ask("evaluate", id=self._finished(request)))

    async def trust(self, request: Request) -> Response:
        """Whether a finished result can be trusted, with the reasons."""
        return _json(await self.studio.ask("trust", id=self._finished(request)))

    def _finished(self, request: Request) -> str:
        """The id of a finished result; NotThere if there is none, which no worker needs to find out."""
        id = request.path_params["id"]
        if not (results.folder(self.settings.out, id) / results.MANIFEST).is_file():
            raise NotThere(f"no finished result {id!r}")
        return id

    # Files of results -------------------------------------------------------------------------------------

    async def file(self, request: Request) -> Response:
        """One file of a result, to be saved."""
        path = results.file(self.settings.out, request.path_params["id"], request.path_params["path"])
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    async def archive(self, request: Request) -> Response:
        """All files of a finished result in one ZIP file."""
        id = self._finished(request)
        place, folder = results.folder(self.settings.out, id), self.uploads.new()
        path = folder / f"{id}.zip"
        try:
            await in_thread(_zipped, place, path)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(path, filename=path.name, media_type="application/zip", background=done)

    async def figure(self, request: Request) -> Response:
        """A figure of a result by its number, or its cover."""
        return FileResponse(results.figure(self.settings.out, request.path_params["id"], request.path_params["k"]))

    async def script(self, request: Request) -> Response:
        """A script that figures of results share, by its SHA-256."""
        path = results.script(self.settings.out, request.path_params["sha"])
        return FileResponse(path, media_type="text/javascript")


# What many of them do ---------------------------------------------------------------------------------


class _Static(StaticFiles):
    """Files of the page, which a browser asks for anew each time, and is told that it has them."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        answer = super().file_response(*arguments, **named)
        answer.headers["cache-control"] = "no-cache"
        return answer


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(plain(value), status)


async def _object(request: Request) -> dict[str, Any]:
    """The JSON object of a request's body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"Content-Type is {kind[:40]!r}, expected application/json")
    limit, body = _LARGEST.get(request.url.path, MB // 4), bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the body has more than the limit of {limit / MB:.4g} MB")
    return await in_thread(parsed, bytes(body), "the body")


def _owner(request: Request) -> str:
    """Whose turn a job takes: a tab, or whoever is at the other end."""
    return request.headers.get("x-owner", "")[:64] or (request.client.host if request.client else "")


def _zipped(folder: Path, path: Path) -> None:
    """All files of a result in one."""
    packed: Any = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1, "strict_timestamps": False}
    with zipfile.ZipFile(path, "w", **packed) as archive:  # files may be from before 1980, where a clock was wrong
        for name, file in sorted(results.files(folder)):
            archive.write(file, f"{folder.name}/{name}")

"""What goes wrong, as JSON: what the command line would say, and the flag that it is about."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ...errors import InputError, exit_code, why
from ..engine.queueing import Busy
from ..engine.results import NotThere
from ..engine.studio import Over
from ..engine.workers import WorkerDied, WorkFailed
from ..uploads.store import TooLarge
from . import forms

_STATUS: Mapping[type[Exception], int] = {
    TooLarge: 413,
    Busy: 429,
    NotThere: 404,
    Over: 409,
    InputError: 400,
    WorkFailed: 500,
    WorkerDied: 500,
    OSError: 500,
    MemoryError: 500,
}


async def refused(request: Request, error: Exception) -> Response:
    """What the command line would say, and the flag that it is about."""
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    if status == 500 and exit_code(error) == InputError.exit_code:  # of the system, such as a file that is not there
        status = 400
    words = why(error)
    return JSONResponse({"error": words, "flag": forms.flag_in(words) if status == 400 else None}, status)


async def refused_by_http(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail, "flag": None}, error.status_code, error.headers)


async def failed(request: Request, error: Exception) -> Response:
    """A fault of ours, whose traceback the server prints."""
    words = f"{type(error).__name__}: {error} (a fault of the program; the traceback is where the studio was started)"
    return JSONResponse({"error": words, "flag": None}, 500)


async def gone(request: Request, error: Exception) -> Response:
    """Whoever asked has left."""
    return Response(status_code=499)


HANDLERS: Mapping[Any, Callable[..., Any]] = {
    Exception: failed,
    HTTPException: refused_by_http,
    ClientDisconnect: gone,
    **dict.fromkeys(_STATUS, refused),
}
"""By the kinds of errors, for Starlette."""

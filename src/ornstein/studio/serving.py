"""`ornstein studio`: the server is started, its address printed and opened, and all of it ends with Ctrl-C."""

import asyncio
import contextlib
import errno
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, needed_for
from ..training.stopping import on_signals
from .guarding import LEAST_TOKEN, is_loopback

if TYPE_CHECKING:
    import uvicorn

_PATIENCE = 1
"""Seconds that answers which are on their way have to end, such as streams of events."""
_TO_ASK = 20.0
"""Seconds in which a connection must have sent the head of a request, whole."""


def studio(
    host: str = "127.0.0.1",
    port: int = 8421,
    out: Path = Path("samples"),
    runs: Path = Path("runs"),
    data: Path | None = None,
    upload_mb: int = 512,
    open: bool = True,
    token: str | None = None,
) -> None:
    """Draw, watch and look in a browser, or over HTTP: an app that this machine alone can reach, if no host is given.

    Args:
        host: to listen on; beyond this machine a token is asked for.
        port: to listen on; 0 takes any that is free.
        out: where results are written and earlier ones are found.
        runs: the folder of runs of your own that can be chosen.
        data: a folder whose files can be chosen, for what is too large to send.
        upload_mb: the largest file that can be sent, in millions of bytes.
        open: a browser at its address.
        token: that is asked for; one is made and printed where it is needed, if not given.
    """
    with needed_for("the studio", "studio"):
        import starlette  # noqa: F401
        import uvicorn
    from .app import Door
    from .studio import Settings

    if not 0 <= port < 2**16:
        raise InputError(f"--port is {port}, expected a number from 0 to 65535")
    if data is not None and not data.is_dir():
        raise InputError(f"--data is {str(data)!r}, which is no folder")
    if upload_mb < 1:
        raise InputError(f"--upload-mb is {upload_mb}, expected a whole number of at least 1")
    token = _token(host, token)
    door = Door(Settings(out=out, runs=runs), data, upload_mb, host, token)
    config = uvicorn.Config(
        door.app(),  # pyright: ignore[reportArgumentType]
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=_PATIENCE,
        http=_protocol(),
    )
    with _listening(host, port) as listener:
        address = _address(host, listener.getsockname()[1], token)
        _server(config, address, open).run(sockets=[listener])
    _end()


def _end() -> None:
    """All is tidied up. A thread that imports a domain cannot be interrupted: the process does not wait for it."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        os._exit(0)


def _token(host: str, token: str | None) -> str:
    """What is asked for: nothing on this machine alone, unless it is given."""
    if token is None:
        return "" if is_loopback(host) else secrets.token_urlsafe(24)
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or set(token) & set(' ;,"\\'):
        raise InputError(f"--token: expected at least {LEAST_TOKEN} letters, digits and signs, without spaces")
    return token


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; InputError if it cannot."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, OverflowError):
        raise InputError(f"--host {host} --port {port}: no address of this machine") from None
    with socket.socket(family, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(place)
            listener.listen(256)
        except OSError as error:
            taken = "is taken; choose another, or 0 for any that is free" if error.errno == errno.EADDRINUSE else ""
            raise InputError(f"--port {port} of {host} {taken or f'cannot be had ({error.strerror})'}") from None
        yield listener


def _address(host: str, port: int, token: str) -> str:
    """What a browser is to open."""
    named = socket.gethostname() if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}/{f'#token={token}' if token else ''}"


def _protocol() -> type[asyncio.Protocol]:
    """HTTP for connections that ask for something: those that are only held open are closed."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Asking(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(_TO_ASK, self._require_question, None)

        def on_response_complete(self) -> None:
            last = self.cycle
            super().on_response_complete()
            self.loop.call_later(_TO_ASK, self._require_question, last)

        def _require_question(self, last: Any) -> None:
            if self.cycle is last and not self.transport.is_closing():
                self.transport.close()

    return Asking


def _server(config: "uvicorn.Config", address: str, show: bool) -> "uvicorn.Server":
    """A server that says where it is once it answers."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                print(f"The studio is at {address}\nCtrl-C ends it.", flush=True)
                if show:
                    webbrowser.open(address)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Both signals are the ordinary end of a server, not the failure of a command."""

            def end() -> None:
                self.should_exit = True

            with on_signals(end):
                yield

    return Server(config)

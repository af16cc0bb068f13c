"""Who may come in, and what a page may do: nothing of the studio is for another site, and whoever reaches it from
beyond this machine is asked for a token.

A page of somebody else's in the same browser could send requests to a server on this machine. So every request must
name this server as its host (which a name that was bound to this address anew does not) and, where it says who sent it,
this page.
"""

import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "ornstein-studio"
LEAST_TOKEN = 16
"""Letters of a token."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_OPEN = ("/", "/favicon.ico", "/v1/login")
"""What is answered without a token, and everything below /static/."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, seen from itself alone."""
    return host in _LOOPBACK or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


@dataclass(frozen=True)
class Guard:
    """In front of an app.

    Attributes:
        app: that it lets requests through to.
        host: on which the server listens.
        token: that is asked for; none if empty.
    """

    app: App
    host: str = "127.0.0.1"
    token: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what may not come in, and puts the headers of a page on what may."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                extra = {**HEADERS, **({"cache-control": "no-store"} if scope["path"].startswith("/v1/") else {})}
                added = [(k.encode(), v.encode()) for k, v in extra.items() if k.encode() not in given]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        wrong = self._refused(scope, headers)
        if wrong is not None:
            return await _answer(sending, *wrong)
        return await self.app(scope, receive, sending)

    def _refused(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and words, if a request may not come in."""
        if not self._is_own(host_of(headers.get("host", ""))):
            return 403, f"Host is {headers.get('host', '')[:80]!r}, which is not this server"
        origin, fetched = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin != f"{scope['scheme']}://{headers.get('host', '').lower()}":
            return 403, f"Origin is {origin[:80]!r}, which is another site"
        opened = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        if fetched not in ("none", "same-origin") and not opened:
            return 403, "another site asked for this"
        open_ = scope["path"] in _OPEN or scope["path"].startswith("/static/")
        if self.token and not open_ and not self.knows(_token(headers, cookie_of(scope))):
            return 401, "a token is asked for: open the address that was printed, or send Authorization: Bearer TOKEN"
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a request for this host is for this server."""
        if host in _LOOPBACK or host == self.host.lower():
            return True
        if self.host not in ("0.0.0.0", "::", ""):
            return False
        return _is_address(host) or host in (socket.gethostname().lower(), socket.getfqdn().lower())

    def knows(self, token: str) -> bool:
        """Whether it is the token, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


def cookie_of(scope: Mapping[str, Any]) -> str:
    """The name of the cookie with the token: browsers keep those of a host together, whatever the port."""
    _, port = scope.get("server") or ("", None)
    return f"{COOKIE}-{port}"


def host_of(header: str) -> str:
    """The host in a Host header, without the port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _token(headers: Mapping[str, str], cookie: str) -> str:
    """The token of a request: after Bearer, or in the cookie of this name."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    pairs = (one.strip().partition("=") for one in headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == cookie), "")


async def _answer(send: Send, status: int, words: str) -> None:
    body = json.dumps({"error": words, "flag": None}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

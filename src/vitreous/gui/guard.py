"""Who may talk to the server: one ASGI layer in front of everything, HTTP and WebSocket alike.

Checked in this order: text of the request (no NUL), Host (against rebinding), Origin (against
other sites), token, read-only, form of a change (JSON, not too large). What passes gets headers
that let a page load nothing from elsewhere. Ground: spec/gui-technology.md, Security.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_SAFE: Final = frozenset({"GET", "HEAD"})
# A reader may ask these, which write nothing.
_QUESTIONS: Final = re.compile(r"/api/(types/[^/]+/check|images/average)")
_MAX_BODY: Final = 24 << 20
_MAX_TARGET: Final = 16 << 10
CSP: Final = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
)


@dataclass(frozen=True)
class Access:
    """Who may do what.

    Parameters
    ----------
    token, read_only_token
        Secrets of at least 32 random bytes; the second may only look, empty for none.
    hosts
        Names that the server may be called by, besides those of this machine itself.
    origins
        Origins of pages that may call it (``https://example.org``), for a reverse proxy.
    """

    token: str
    read_only_token: str = ""
    hosts: frozenset[str] = field(default_factory=frozenset)
    origins: frozenset[str] = field(default_factory=frozenset)

    def right_of(self, given: str) -> str:
        """Return ``all``, ``read`` or an empty text for what a token allows; in constant time."""
        text = given.encode(errors="replace")
        is_all = hmac.compare_digest(text, self.token.encode())
        is_read = hmac.compare_digest(text, self.read_only_token.encode())
        if is_all:
            return "all"
        return "read" if is_read and self.read_only_token else ""


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """The layer.

    Parameters
    ----------
    app
        What is behind it.
    access
        Who may do what.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            headers = _Headers(scope)
            _check_text(scope)
            self._check_place(scope, headers)
            if scope["type"] == "http" and (moved := self._with_cookie(scope, headers)):
                await _answer(send, 303, b"", moved)
                return
            scope.setdefault("state", {})["right"] = self._right(scope, headers)
            if scope["type"] == "http" and scope["method"] not in _SAFE:
                receive = await _checked_body(headers, receive)
        except _RefusedError as refused:
            await _refuse(scope, send, refused)
            return
        await self._app(scope, receive, _with_headers(scope, send))

    def _check_place(self, scope: Scope, headers: _Headers) -> None:
        """Refuse other names of this machine, and pages of other sites."""
        host = headers.one("host")
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if name.lower() not in _LOOPBACK | self._access.hosts:
            raise _RefusedError(421, f"This server is not called {name or 'so'}. Use localhost.")
        origin = headers.one("origin")
        if not origin and scope["type"] == "websocket":
            raise _RefusedError(403, "A connection without an Origin is refused.")
        is_own = urlsplit(origin).netloc.lower() == host.lower() and origin.startswith("http")
        if origin and not is_own and origin not in self._access.origins:
            raise _RefusedError(403, "Pages of other sites may not call this server.")
        if headers.one("sec-fetch-site") == "cross-site" and scope["path"].startswith("/api"):
            raise _RefusedError(403, "Pages of other sites may not call this server.")

    def _with_cookie(self, scope: Scope, headers: _Headers) -> list[tuple[bytes, bytes]]:
        """Turn a token in the address into a cookie; return the headers of the answer."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for key, value in pairs if key == "token"]
        if not given or scope["method"] not in _SAFE:
            return []
        if not self._access.right_of(given[0]):
            raise _RefusedError(401, _NO_TOKEN)
        rest = urlencode([(key, value) for key, value in pairs if key != "token"])
        path = scope.get("raw_path") or scope["path"].encode()
        clean = b"/" + path.split(b"?")[0].lstrip(b"/") + (f"?{rest}".encode() if rest else b"")
        cookie = f"{_cookie_name(headers)}={given[0]}; Path=/; HttpOnly; SameSite=Strict"
        return [(b"location", clean), (b"set-cookie", cookie.encode())]

    def _right(self, scope: Scope, headers: _Headers) -> str:
        """Return what the caller may do, which is at least to look."""
        scheme, _, bearer = headers.one("authorization").partition(" ")
        given = bearer if scheme.lower() == "bearer" else _cookie(headers)
        right = self._access.right_of(given)
        if not right:
            raise _RefusedError(401, _NO_TOKEN)
        changes = scope["type"] == "http" and scope["method"] not in _SAFE
        if right == "read" and changes and not _QUESTIONS.fullmatch(scope["path"]):
            raise _RefusedError(403, "This is a read-only view: nothing can be changed.")
        return right


class _Headers:
    """The headers of a request, each as text."""

    def __init__(self, scope: Scope) -> None:
        self._pairs: list[tuple[bytes, bytes]] = list(scope.get("headers") or ())

    def one(self, name: str) -> str:
        """Return a header; empty where it is missing, refused where it stands twice."""
        found = [value for key, value in self._pairs if key == name.encode()]
        if len(found) > 1:
            raise _RefusedError(400, f"The header {name} stands twice.")
        return found[0].decode("latin-1") if found else ""

    def all(self, name: str) -> list[str]:
        """Return every header of a name."""
        return [value.decode("latin-1") for key, value in self._pairs if key == name.encode()]


_NO_TOKEN = (
    "This server needs its token. Open the address that `vitreous gui` printed when it started; "
    "in the project folder, `vitreous gui` prints it again."
)


def _check_text(scope: Scope) -> None:
    raw = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    if len(raw) + len(query) > _MAX_TARGET:
        raise _RefusedError(414, "The address is too long.")
    if b"\0" in unquote_to_bytes(raw) or b"\0" in unquote_to_bytes(query):
        raise _RefusedError(400, "The address holds a NUL character.")


async def _checked_body(headers: _Headers, receive: Receive) -> Receive:
    """Read the body of a change, which must be JSON and not too large, and hand it on."""
    length = headers.one("content-length")
    if length and (not length.isdecimal() or int(length) > _MAX_BODY):
        raise _RefusedError(413, f"The body is too large; at most {_MAX_BODY >> 20} MiB are taken.")
    kind = headers.one("content-type").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _RefusedError(415, "A change must come as application/json.")
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > _MAX_BODY:
            raise _RefusedError(
                413, f"The body is too large; at most {_MAX_BODY >> 20} MiB are taken."
            )
    body = b"".join(parts)
    if b"\0" in body or b"\\u0000" in body:
        raise _RefusedError(400, "The body holds a NUL character.")
    return _replayed(body, receive)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _cookie_name(headers: _Headers) -> str:
    """Return a name per port: two servers on one machine must not overwrite each other's."""
    port = urlsplit(f"//{headers.one('host')}").netloc.rpartition(":")[2]
    return f"vitreous_{port if port.isdecimal() else 'http'}"


def _cookie(headers: _Headers) -> str:
    name = _cookie_name(headers)
    for text in headers.all("cookie"):
        try:
            found = SimpleCookie(text).get(name)
        except CookieError:
            continue
        if found:
            return found.value
    return ""


def _with_headers(scope: Scope, send: Send) -> Send:
    """Add to every answer what keeps a page from loading or being loaded by others."""
    is_api = scope["path"].startswith("/api")

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            known = {key.lower() for key, _ in headers}
            extra = [*_HEADERS, (b"content-security-policy", CSP.encode())]
            if is_api:
                extra.append((b"cache-control", b"no-store"))
            headers += [pair for pair in extra if pair[0] not in known]
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, refused: _RefusedError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": str(refused)[:120]})
        return
    if scope["path"].startswith("/api"):
        body = json.dumps({"error": str(refused), "problems": []}).encode()
        kind = b"application/json"
    else:
        body, kind = f"{refused}\n".encode(), b"text/plain; charset=utf-8"
    await _answer(send, refused.status, body, [(b"content-type", kind)])


async def _answer(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> None:
    every = [
        *headers,
        *_HEADERS,
        (b"content-security-policy", CSP.encode()),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body})

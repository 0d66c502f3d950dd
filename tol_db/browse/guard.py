"""What is answered at all: reading, from this machine, of the database, its pictures and datasette's own styles."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_OF_OURS = ("/-/static/", "/-/sample/")
_HEADERS = (
    # nothing is loaded from elsewhere, whatever a name in the database looks like; datasette's scripts are inline
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def guarded(app: App) -> App:
    """An ASGI application that passes on to ``app`` only what is meant for it.

    * A name other than loopback's in ``Host`` is refused: a page elsewhere could have its own name point here and
      read along (DNS rebinding).
    * Nothing but GET and HEAD.
    * Of datasette's pages about itself (``/-/…``) only the styles: they tell paths, versions and threads.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        refused = _refused(scope)
        if refused is None:
            await app(scope, receive, send_with_headers)
            return
        status, why = refused
        body = why.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await send_with_headers({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return answer


def _refused(scope: Scope) -> tuple[int, str] | None:
    """Status and reason of a request that is not answered; None for the others."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return 403, "only this machine is answered, by the name localhost or 127.0.0.1\n"
    if scope["method"] not in ("GET", "HEAD"):
        return 405, "the database is only read here\n"
    path: str = scope["path"]
    if path.startswith("/-/") and not path.startswith(_OF_OURS):
        return 404, "there is no such page\n"
    return None

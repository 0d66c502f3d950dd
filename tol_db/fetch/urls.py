"""Addresses: plain HTTP and HTTPS only, shown without what could be a secret."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from tol_db.errors import InputError

SCHEMES = ("http", "https")
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who answers at an address (RFC 6454): credentials never go to another one."""

    scheme: str
    host: str
    port: int

    @property
    def is_private(self) -> bool:
        """Whether nobody listens in on the way: TLS, or this very machine."""
        return self.scheme == "https" or self.host in LOCAL


def shown(url: str) -> str:
    """An address as it may stand in a log: no user, no password, and of a query only that there is one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(an address that cannot be read)"
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + port, parts.path, "…" if parts.query else "", ""))


def checked(url: str) -> SplitResult:
    """The parts of an address.

    Raises:
        InputError: it is not http or https, names no host, or holds blanks or control characters.
    """
    if not url.isprintable() or " " in url or not url.isascii():
        raise InputError(
            f"{shown(url)!r}: an address holds a blank, a control character or a letter beyond ASCII",
            hint="write such characters as %XX",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError(f"{shown(url)}: not an address") from None
    if parts.scheme.lower() not in SCHEMES:
        raise InputError(
            f"{shown(url)}: only http and https are fetched, not {parts.scheme or 'a path'}",
            hint="a file that is here already is simply copied to where the manifest says",
        )
    if not parts.hostname or port == 0:
        raise InputError(f"{shown(url)}: an address names no host")
    return parts


def origin(url: str) -> Origin:
    """Raises: InputError, as :func:`checked`."""
    parts = checked(url)
    scheme = parts.scheme.lower()
    return Origin(scheme, (parts.hostname or "").lower(), parts.port or _PORTS[scheme])


def basic(parts: SplitResult) -> str | None:
    """The ``Authorization`` (RFC 7617) that the user and password within an address ask for, or None."""
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def redirected(url: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        InputError: not to http or https, or from https to a place where everybody could change the bytes.
    """
    target = urljoin(url, location)
    if not target.isascii():  # what servers send for %XX; http.client wants ASCII
        target = "".join(c if c.isascii() else "".join(f"%{b:02X}" for b in c.encode()) for c in target)
    target = target.replace(" ", "%20")
    try:
        there = origin(target)
    except InputError as err:
        raise InputError(f"{shown(url)}: redirected to a forbidden place: {err}") from None
    if origin(url).scheme == "https" and there.scheme != "https":
        raise InputError(
            f"{shown(url)}: redirected from https to plain http, at {shown(target)}",
            hint="if you trust that server, name its address in a manifest of your own (--manifest)",
        )
    return target

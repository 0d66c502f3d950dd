"""One GET: proxies, redirects, credentials, and what a server says of a file. No retries here.

Written on :mod:`http.client`, not :mod:`urllib.request`, because the latter carries an ``Authorization`` along to
other hosts, opens ``file:`` and ``ftp:``, and has the password of an address in its errors.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from tol_db import __version__
from tol_db.errors import InputError, TolDbError
from tol_db.fetch.urls import Origin, basic, checked, origin, redirected, shown

MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


class NetworkFault(TolDbError):
    """The connection failed or broke off: to be tried again."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What a server says of a file.

    Attributes:
        bytes: of the whole file, or None where it does not say.
        etag: as sent, or None; modified: ``Last-Modified``, or None.
        sha256: of the whole file where the hub announces it (``X-Linked-Etag`` of huggingface.co), or None.
    """

    bytes: int | None
    etag: str | None
    modified: str | None
    sha256: str | None = None

    @property
    def has_validator(self) -> bool:
        return self.etag is not None or self.modified is not None

    @property
    def if_range(self) -> str | None:
        """What ``If-Range`` may hold: a strong tag, else a date (RFC 9110, 13.1.5)."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.modified if self.etag is None else None


class Response:
    """An answer, to be read to its end or closed.

    Attributes:
        status: 200, 206, 416, or an error.
        remote: what the server says of the whole file.
        start: the first byte that it sends of the file.
        retry_after: seconds the server asks to wait, or None.
        url: where it came from in the end.
        is_open: it was had without credentials.
    """

    def __init__(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, url: str, *, is_open: bool
    ) -> None:
        self._connection = connection
        self._response = response
        self.url = url
        self.is_open = is_open
        self.status = response.status
        self.retry_after = _retry_after(response.getheader("Retry-After"))
        self.start, total = 0, _number(response.getheader("Content-Length"))
        if self.status in (206, 416):
            match = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range", "").strip())
            self.start = int(match[1]) if match and match[1] else -1
            total = int(match[3]) if match and match[3] != "*" else None
        self.is_delimited = response.length is not None or response.chunked
        self.remote = Remote(total, response.getheader("ETag"), response.getheader("Last-Modified"))

    @property
    def is_encoded(self) -> bool:
        """Whether the server compressed what it sends although it was not asked to."""
        return self._response.getheader("Content-Encoding", "identity").strip().lower() not in ("", "identity")

    @property
    def is_page(self) -> bool:
        """Whether it is a web page: a login, or an error that calls itself a success."""
        return self._response.getheader("Content-Type", "").strip().lower().startswith("text/html")

    def read(self, size: int) -> bytes:
        """The next bytes, b"" at the end; fewer than ``size`` as they come.

        Raises: NetworkFault, when it breaks off.
        """
        with _told(self.url):
            data = self._response.read1(size)
            # read1 does not say that a body with a length ended early
            if not data and self._response.length:
                raise NetworkFault(f"{shown(self.url)}: broke off {self._response.length:,} bytes early")
            return data

    def close(self) -> None:
        self._connection.close()
        self._response.close()


class Client:
    """Opens addresses, through the proxies of the environment (``http_proxy``, ``https_proxy``, ``no_proxy``).

    Args:
        timeout: seconds that connecting, or a silence, may take.
        token: sent as ``Authorization: Bearer`` where :meth:`get` is allowed to.
    """

    def __init__(self, timeout: float, token: str | None = None) -> None:
        self._timeout = timeout
        self._token = token
        self._proxies = urllib.request.getproxies()
        self._context = ssl.create_default_context()

    def get(
        self, url: str, *, start: int = 0, end: int | None = None, if_range: str | None = None, token: bool = False
    ) -> Response:
        """GET, following redirects.

        Args:
            start: the first byte wanted; end: the last one, or None.
            if_range: with ``start``: the version that they must be of.
            token: send the token, if there is one, over https or to this machine; never to another host that a
                redirect leads to.

        Raises:
            NetworkFault: to be tried again.
            InputError: a redirect loop, or to a place that is forbidden.
        """
        headers = {"User-Agent": f"tol-db/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end}"
            if if_range is not None and start:
                headers["If-Range"] = if_range
        home = origin(url)
        sha256: str | None = None
        size: int | None = None
        here = url
        for _ in range(MOST_REDIRECTS + 1):
            response, is_open = self._once(here, headers, home, token=token)
            sha256 = _linked_sha256(response.getheader("X-Linked-Etag")) or sha256
            size = _number(response.getheader("X-Linked-Size")) or size
            location = response.getheader("Location")
            if response.status not in _REDIRECTS or location is None:
                answer = Response(response.connection, response.http, here, is_open=is_open)
                told = answer.remote
                answer.remote = Remote(
                    told.bytes if told.bytes is not None else size, told.etag, told.modified, sha256
                )
                return answer
            response.connection.close()
            here = redirected(here, location)
            if origin(here) != home:
                home = Origin("", "", 0)  # even where a later redirect leads back, a stranger chose the address
        raise InputError(f"{shown(url)}: more than {MOST_REDIRECTS} redirects, last to {shown(here)}")

    def _once(self, url: str, headers: dict[str, str], home: Origin, *, token: bool) -> tuple[_Raw, bool]:
        parts = checked(url)
        there = origin(url)
        mine = dict(headers)
        if (named := basic(parts)) is not None:
            mine["Authorization"] = named
        elif token and self._token and there == home and there.is_private:
            mine["Authorization"] = f"Bearer {self._token}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with _told(url):
            connection, absolute = self._connect(there, mine)
            try:
                default = 443 if there.scheme == "https" else 80
                host = f"[{there.host}]" if ":" in there.host else there.host
                mine["Host"] = host if there.port == default else f"{host}:{there.port}"
                connection.request("GET", f"http://{mine['Host']}{target}" if absolute else target, headers=mine)
                return _Raw(connection, connection.getresponse()), "Authorization" not in mine
            except BaseException:
                connection.close()
                raise

    def _connect(self, there: Origin, headers: dict[str, str]) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether its requests name the whole address (a proxy for plain http)."""
        proxy = self._proxies.get(there.scheme) or self._proxies.get("all")
        named = f"{there.host}:{there.port}"
        if not proxy or urllib.request.proxy_bypass(named) or urllib.request.proxy_bypass(there.host):
            if there.scheme == "https":
                secure = http.client.HTTPSConnection(
                    there.host, there.port, timeout=self._timeout, context=self._context
                )
                return secure, False
            return http.client.HTTPConnection(there.host, there.port, timeout=self._timeout), False
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
        try:
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            host, port = "", 0
        if not host or parts.scheme not in ("http", "https"):
            raise InputError(
                f"the proxy {shown(proxy)} cannot be used",
                hint="an http proxy is wanted: http_proxy=http://host:port",
            )
        access = basic(parts)
        if there.scheme == "https":
            tunnel = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)
            tunnel.set_tunnel(there.host, there.port, {"Proxy-Authorization": access} if access else {})
            return tunnel, False
        if access:
            headers["Proxy-Authorization"] = access
        return http.client.HTTPConnection(host, port, timeout=self._timeout), True


@dataclass(frozen=True, slots=True)
class _Raw:
    connection: http.client.HTTPConnection
    http: http.client.HTTPResponse

    @property
    def status(self) -> int:
        return self.http.status

    def getheader(self, name: str) -> str | None:
        return self.http.getheader(name)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Faults of the connection as one error, without the address's secrets."""
    try:
        yield
    except ssl.SSLCertVerificationError as err:
        raise InputError(
            f"{shown(url)}: its certificate is not valid: {err.verify_message}",
            hint="SSL_CERT_FILE names the certificates to trust, for example those of your site's proxy",
        ) from None
    except TimeoutError:
        raise NetworkFault(f"{shown(url)}: no answer in time") from None
    except socket.gaierror as err:
        raise NetworkFault(f"{shown(url)}: its host is not found ({err.strerror})") from None
    except OSError as err:
        raise NetworkFault(f"{shown(url)}: {err.strerror or type(err).__name__}") from None
    except http.client.IncompleteRead as err:
        raise NetworkFault(f"{shown(url)}: broke off after {len(err.partial):,} more bytes") from None
    except http.client.HTTPException as err:
        raise NetworkFault(f"{shown(url)}: no HTTP answer ({type(err).__name__})") from None
    except ValueError as err:  # http.client: "invalid literal for int()" of a broken chunk or header
        raise NetworkFault(f"{shown(url)}: a broken answer ({type(err).__name__})") from None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None


def _linked_sha256(tag: str | None) -> str | None:
    """The hub's tag of a large file is its sha256; that of a small one is a git hash, which is not looked at."""
    match = re.fullmatch(r'(?:W/)?"?([0-9a-fA-F]{64})"?', (tag or "").strip())
    return match[1].lower() if match else None


def _retry_after(text: str | None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    if (seconds := _number(text)) is not None:
        return float(seconds)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())

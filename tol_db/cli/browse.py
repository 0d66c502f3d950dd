"""``tol-db browse``."""

from __future__ import annotations

import errno
import socket
import threading
from contextlib import suppress

import click

from tol_db.cli.options import db_settings, opened
from tol_db.errors import TolDbError, UsageError
from tol_db.settings import Settings

PORT = 8001
_HOST = "127.0.0.1"


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="On the loopback device; 0: any that is free.",
)
@click.option("--open", "open_", is_flag=True, help="Open the page in the web browser of this machine.")
@click.option(
    "--time-limit",
    type=click.FloatRange(0.1, 3600),
    default=60.0,
    show_default=True,
    help="Seconds that a query may take.",
)
@db_settings
def browse(settings: Settings, port: int, open_: bool, time_limit: float) -> None:
    """Show the database in a web browser: tables, audits, pictures of samples. It is only read. Ctrl-C ends it.

    Only this machine is answered. From another one, through ssh: ssh -L 8001:localhost:8001 HOST. Needs the extra
    `tol-db[browse]` (datasette).

    \b
    Examples:
      tol-db browse --open
      tol-db --db /data/tol.sqlite browse --port 0
    """
    opened(settings, readonly=True)  # is it ours, and of this version?
    try:
        import uvicorn

        from tol_db.browse.app import browsing
    except ModuleNotFoundError as err:
        raise TolDbError(
            f"browse needs datasette ({err.name} is missing)", hint="pip install 'tol-db[browse]'"
        ) from err
    with _listening(port) as listening, browsing(settings.database, time_limit) as browser:
        address = f"http://{_HOST}:{listening.getsockname()[1]}/"
        click.echo(f"{settings.database}: {address} (read-only; Ctrl-C ends it)")
        if open_:
            threading.Thread(target=click.launch, args=(address,), daemon=True).start()
        config = uvicorn.Config(
            browser.app(), log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        with suppress(KeyboardInterrupt):  # how it is meant to end
            uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    """A socket on the loopback device.

    Raises:
        UsageError: the port is taken, or only root may have it.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
        listening.listen(128)
    except OSError as err:
        listening.close()
        if err.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        taken = "is taken by another program" if err.errno == errno.EADDRINUSE else "is not ours to have"
        raise UsageError(f"port {port} {taken}", hint="name another with --port, or --port 0 for any") from err
    return listening

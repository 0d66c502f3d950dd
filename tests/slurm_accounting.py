"""What a cluster needs that keeps accounts: MariaDB and slurmdbd, as children of the cluster and in its folder.

The database server runs without its tables of users (``--skip-grant-tables``), which it then needs not even to
make: it listens at the loopback device alone, for some seconds.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.processes import until

PROGRAMS = {"mariadbd": "mariadb-server", "slurmdbd": "slurmdbd", "sacctmgr": "slurm-client"}
"""Program → Debian package."""

CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge/socket
"""
_DBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StorageLoc=accounts
"""


def what_is_missing(path: str) -> str:
    """Why there can be no accounts here, or an empty text."""
    packages = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)]
    return f"no accounting of SLURM here: apt-get install {' '.join(packages)}" if packages else ""


def start(start: Callable[..., object], folder: Path, user: str, port: int, database_port: int) -> None:
    """Start both servers, and wait until they listen.

    Args:
        start: starts a process of the cluster.
        folder: of the cluster; its munged runs.
        user: SlurmUser.
        port: where slurmdbd is to listen; ``database_port``: where MariaDB is.
    """
    data = folder / "accounts"
    data.mkdir()
    start(
        "mariadbd",
        "--no-defaults",
        f"--user={user}",
        f"--datadir={data}",
        f"--socket={data}/socket",
        f"--pid-file={data}/pid",
        "--bind-address=127.0.0.1",
        f"--port={database_port}",
        "--skip-grant-tables",
        "--skip-name-resolve",
        "--innodb-buffer-pool-size=16M",
        "--innodb-log-file-size=8M",
        "--innodb-flush-log-at-trx-commit=0",
    )
    until("MariaDB listens", lambda: _listens(database_port))
    conf = folder / "slurmdbd.conf"
    conf.touch(mode=0o600)
    conf.write_text(_DBD_CONF.format(folder=folder, user=user, port=port, database_port=database_port))
    start("slurmdbd", "-D")
    until("slurmdbd listens", lambda: _listens(port))


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""How files are fetched, and what the transfers of a run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tol_db.fetch.http import Client
from tol_db.fetch.pace import Pace


@dataclass(frozen=True, slots=True)
class Manners:
    """How files are fetched.

    Attributes:
        retries: tries in a row that may bring nothing.
        retry_wait: seconds before the first new try; doubled each time.
        timeout: seconds of silence that end a connection.
        connections: of aria2c, for one file.
        aria2c: the program, or None.
        aria2c_rate: bytes per second of one aria2c, or None.
    """

    retries: int = 8
    retry_wait: float = 1.0
    timeout: float = 60.0
    connections: int = 4
    aria2c: Path | None = None
    aria2c_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the transfers of a run share.

    Attributes:
        client: opens addresses.
        pace: the limit of all together.
        wait: sleeps so many seconds; raises Interrupted as soon as the run is to stop.
        say: prints a line.
        advance: told how many bytes came (negative where they were thrown away).
    """

    client: Client
    pace: Pace
    wait: Callable[[float], None]
    say: Callable[[str], None]
    advance: Callable[[int], None]

    def check(self) -> None:
        """Raises: Interrupted."""
        self.wait(0)

"""What all tables share: constraint names, column types, the fixed vocabulary of outcomes and states."""

from __future__ import annotations

import enum
from typing import Annotated

from sqlalchemy import LargeBinary, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column

APPLICATION_ID = 0x746F6C64
"""``PRAGMA application_id`` of our files: "told" in ASCII."""

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


Key = Annotated[int, mapped_column(primary_key=True)]
Uuid = Annotated[bytes, mapped_column(LargeBinary(16))]
Sha256 = Annotated[bytes, mapped_column(LargeBinary(32))]
Digest16 = Annotated[bytes, mapped_column(LargeBinary(16))]
"""The first 16 bytes of a sha256: enough to tell 10^10 images apart, half the room."""
Timestamp = Annotated[str, mapped_column(Text)]
"""ISO 8601, UTC, seconds: ``2026-01-31T12:00:00Z``."""


class Outcome(enum.IntEnum):
    """What became of an image in a split of a dataset; the ids of the table ``outcome``.

    Only content yields an outcome. A fault of storage (EIO, a vanished archive) fails the work unit
    instead, and its images stay pending.
    """

    PENDING = 0
    WRITTEN = 1
    BLACKLISTED_IMAGE = 2
    BLACKLISTED_TAXON = 3
    NO_LABEL = 4
    LICENCE_FILTERED = 5
    SOURCE_MISSING = 6
    DECODE_ERROR = 7
    TRUNCATED = 8
    TOO_LARGE = 9
    UNSUPPORTED_MODE = 10
    TIMEOUT = 11
    DUPLICATE = 12

    @property
    def label(self) -> str:
        """The name that users see: ``decode_error``."""
        return self.name.lower()


OUTCOME_MEANING = {
    Outcome.PENDING: "planned, not written yet",
    Outcome.WRITTEN: "in a complete shard",
    Outcome.BLACKLISTED_IMAGE: "a blacklist names this image",
    Outcome.BLACKLISTED_TAXON: "a blacklist names the species of this image",
    Outcome.NO_LABEL: "no name is known for it, or all seven ranks are empty",
    Outcome.LICENCE_FILTERED: "its licence is not among those asked for",
    Outcome.SOURCE_MISSING: "no file was found for it in the scanned containers",
    Outcome.DECODE_ERROR: "its bytes are not a picture that can be decoded",
    Outcome.TRUNCATED: "the picture is cut off and the recipe leaves such pictures out",
    Outcome.TOO_LARGE: "more pixels or memory than the recipe allows",
    Outcome.UNSUPPORTED_MODE: "its pixel format cannot be written by the recipe",
    Outcome.TIMEOUT: "decoding it did not end in time",
    Outcome.DUPLICATE: "the same id was met again",
}


class ShardState(enum.StrEnum):
    """Where a shard stands. Who works on it is the lease's business."""

    PLANNED = "planned"
    COMPLETE = "complete"
    VERIFIED = "verified"
    BAD = "bad"
    MISSING = "missing"
    STALE = "stale"


def one_of(column: str, values: type[enum.StrEnum] | tuple[str, ...]) -> str:
    """SQL of a CHECK that a text column holds one of a fixed set of words."""
    words = [v.value if isinstance(v, enum.StrEnum) else v for v in values]
    return f"{column} IN ({', '.join(repr(w) for w in words)})"


REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""All schema revisions, oldest first; a test holds them equal to the migration scripts.

Known without importing Alembic, so that every command can refuse a database it does not understand at once.
"""

"""What an attempt leaves beside a shard so that the ledger, on this machine or another, can believe it."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from materialize.shard import write_synced
from materialize.steps import SmallFile
from tol_db.errors import InputError

FORMAT = 1
FOLDER = "_receipts"
_NAME = re.compile(r"shard-(\d{6,})-([0-9a-f]+)\.json")
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that was planned for a shard and is not in it."""

    position: int
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Fact:
    """What was learnt of an image; None where it could not be read that far.

    Attributes:
        width, height: of the original, pixels.
        mode: Pillow's name of its pixel format.
        content: first 16 bytes of the sha256 of the original's bytes.
        jpg: the same of the jpg in the shard; None where it was left out.
    """

    width: int | None = None
    height: int | None = None
    mode: str | None = None
    content: bytes | None = None
    jpg: bytes | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A finished shard.

    Attributes:
        dataset: uuid of the dataset.
        shard: its dataset-wide number.
        path: of the file, relative to the output root.
        digest: the shard digest it was written for, hex.
        size, sha256, samples: of the file; the size in bytes.
        token, host, pid, slurm_job_id: who wrote it.
        started_at: UTC; seconds: how long it took.
        left_out: planned images that are not in it.
        facts: one per planned position.
        inode, mtime_ns: of the file when it was whole; None in receipts of versions that did not tell.
    """

    dataset: str
    shard: int
    path: str
    digest: str
    size: int
    sha256: str
    samples: int
    token: str
    host: str
    pid: int
    slurm_job_id: str | None
    started_at: str
    seconds: float
    left_out: tuple[LeftOut, ...]
    facts: tuple[Fact, ...]
    inode: int | None = None
    mtime_ns: int | None = None

    def to_json(self) -> bytes:
        """Columns instead of rows, digests as one base64 string: half a megabyte for 10,000 images."""
        table: dict[str, Any] = {"format": FORMAT}
        table |= {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("left_out", "facts")}
        table["left_out"] = [[x.position, x.outcome, x.detail] for x in self.left_out]
        table["widths"] = [x.width for x in self.facts]
        table["heights"] = [x.height for x in self.facts]
        table["modes"] = [x.mode for x in self.facts]
        table["content_digests"] = _pack([x.content for x in self.facts])
        table["jpg_digests"] = _pack([x.jpg for x in self.facts])
        return json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def receipt_path(root: Path, shard: int, token: str) -> Path:
    return root / FOLDER / f"shard-{shard:06d}-{token}.json"


def write_receipt(root: Path, receipt: Receipt) -> Path:
    """Write a receipt under the output root; it is on the disk when this returns.

    Raises:
        CannotWrite
    """
    path = receipt_path(root, receipt.shard, receipt.token)
    write_synced(path, receipt.to_json(), receipt.token, SmallFile.RECEIPT)
    return path


def is_its_file(receipt: Receipt, status: os.stat_result) -> bool:
    """Whether a file is, untouched, the one that a receipt tells of: the same inode, size and mtime.

    No proof of its bytes (that is `verify`), but of which writer it came from: whoever puts another file under
    the name changes the inode, whoever writes into it the mtime. False means: compare the sha256.
    """
    told = (receipt.size, receipt.inode, receipt.mtime_ns)
    return told == (status.st_size, status.st_ino, status.st_mtime_ns)


def read_receipt(path: Path) -> Receipt:
    """Read a receipt.

    Raises:
        InputError: it is gone, broken or of another format.
        OSError: the storage failed; nothing is known of it.
    """
    try:
        table = json.loads(path.read_bytes())
        if not isinstance(table, dict) or table.pop("format", None) != FORMAT:
            raise ValueError(f"not a receipt of format {FORMAT}")
        left_out = tuple(LeftOut(int(p), str(o), str(d)) for p, o, d in table.pop("left_out"))
        columns = [table.pop(name) for name in ("widths", "heights", "modes")]
        columns += [_unpack(table.pop("content_digests")), _unpack(table.pop("jpg_digests"))]
        facts = tuple(Fact(*row) for row in zip(*columns, strict=True))
        return Receipt(**table, left_out=left_out, facts=facts)
    except (FileNotFoundError, ValueError, TypeError, KeyError, binascii.Error) as err:
        raise InputError(
            f"{path}: not a readable receipt: {err}", hint="remove it; its shard is written anew"
        ) from None
    except OSError as err:  # of read() it names no file
        raise OSError(err.errno, err.strerror, str(path)) from err


def receipts_of(root: Path) -> dict[int, list[Path]]:
    """The receipt files under an output root, by shard number."""
    found: dict[int, list[Path]] = {}
    folder = root / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[1]), []).append(path)
    return found


def receipts_of_shard(root: Path, shard: int) -> list[Path]:
    """The receipt files of one shard that are there now."""
    return sorted(p for p in (root / FOLDER).glob(f"shard-{shard:06d}-*.json") if _NAME.fullmatch(p.name))


def _pack(digests: Sequence[bytes | None]) -> str:
    return base64.b64encode(b"".join(d or bytes(DIGEST_BYTES) for d in digests)).decode()


def _unpack(text: str) -> list[bytes | None]:
    data = base64.b64decode(text, validate=True)
    rows = (data[i : i + DIGEST_BYTES] for i in range(0, len(data), DIGEST_BYTES))
    return [row if any(row) else None for row in rows]

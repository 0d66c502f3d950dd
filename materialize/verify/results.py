"""What a check leaves that does not write the database: one small file per shard, beside the receipts.

``_receipts/verified-<shard>-<level>-<token>.json`` tells which file was looked at (inode, size, mtime), against
which recorded sha256, and what was found. `tol-db collect` and `tol-db verify --collect-results` enter it.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from materialize.notes import writer
from materialize.receipt import FOLDER
from materialize.root import require_mounted
from materialize.shard import write_synced
from materialize.steps import SmallFile
from materialize.verify.shard import KEPT, Checked, Level, Seen, Verdict
from materialize.verify.walk import Finding
from tol_db.db.bulk import utc_now
from tol_db.errors import InputError

FORMAT = 1
_NAME = re.compile(r"verified-(\d{6,})-(default|deep)-([0-9a-f]+)\.json")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LARGEST = 2**63 - 1  # what SQLite takes for an integer


@dataclass(frozen=True, slots=True)
class Result:
    """What the check of a shard found.

    Attributes:
        dataset: uuid of the dataset.
        shard: its dataset-wide number.
        sha256: of the shard as it was recorded in the database that the check has read, hex.
        checked: verdict, findings, and which file was seen (None of a shard that was missing).
        checked_at: UTC.
        host, slurm_job_id, slurm_array_task: where it was checked.
    """

    dataset: str
    shard: int
    sha256: str
    level: Level
    checked: Checked
    checked_at: str
    host: str
    slurm_job_id: str | None
    slurm_array_task: str | None

    def to_json(self) -> bytes:
        checked = self.checked
        table = {
            "format": FORMAT,
            "dataset": self.dataset,
            "shard": self.shard,
            "sha256": self.sha256,
            "level": self.level.value,
            "verdict": checked.verdict.value,
            "findings": [[finding.what, finding.where] for finding in checked.findings],
            "found": checked.found,
            "bytes": checked.size,
            "seconds": checked.seconds,
            "checked_at": self.checked_at,
            "file": asdict(checked.seen) if checked.seen is not None else None,
            "host": self.host,
            "slurm_job_id": self.slurm_job_id,
            "slurm_array_task": self.slurm_array_task,
        }
        return json.dumps(table, ensure_ascii=False).encode() + b"\n"


def new_result(dataset: str, shard: int, sha256: bytes, level: Level, checked: Checked) -> Result:
    """The result of a check that this process has just made."""
    if checked.verdict is Verdict.MISSING:
        checked = replace(checked, seen=None)
    job, task = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return Result(dataset, shard, sha256.hex(), level, checked, utc_now(), socket.gethostname(), job, task)


def result_path(root: Path, shard: int, level: Level, token: str) -> Path:
    return root / FOLDER / f"verified-{shard:06d}-{level}-{token}.json"


def write_result(root: Path, result: Result, token: str) -> None:
    """Write a result under the output root; it is on the disk when this returns.

    Args:
        token: of the process; another one's results of the same shard keep their files.

    Raises:
        OutputNotMounted: the root has gone away.
        CannotWrite
    """
    require_mounted(root)
    path = result_path(root, result.shard, result.level, token)
    write_synced(path, result.to_json(), writer(), SmallFile.RESULT)


def result_files(root: Path, level: Level | None = None) -> list[tuple[int, Path]]:
    """The result files under an output root, of one level or of both: number of the shard and path, by number.

    Raises:
        OSError: the folder cannot be read.
    """
    folder = root / FOLDER
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and (level is None or match[2] == level):
            found.append((int(match[1]), path))
    return sorted(found)


def read_result(path: Path) -> Result:
    """Read a result; all of it is checked, so that what is entered of it fits the tables.

    Raises:
        InputError: it is broken or of another format.
        FileNotFoundError: it is gone.
        OSError: the storage failed; nothing is known of it.
    """
    try:
        table = json.loads(path.read_bytes())
        if not isinstance(table, dict) or table.get("format") != FORMAT:
            raise ValueError(f"not a result of format {FORMAT}")
        result = _result(table)
        match = _NAME.fullmatch(path.name)
        if match is None or (int(match[1]), match[2]) != (result.shard, result.level):
            raise ValueError("it tells of another shard or level than its name")
        return result
    except KeyError as err:
        why = f"{err} is missing"
    except RecursionError:
        why = "it is nested too deeply"
    except (ValueError, TypeError, OverflowError) as err:
        why = str(err)
    raise InputError(f"{path}: not a readable result: {why}", hint="remove it; its shard is checked again")


def _result(table: dict[str, Any]) -> Result:
    """Raises: ValueError, TypeError, KeyError."""
    at = _text(table, "checked_at")
    datetime.strptime(at, _TIME)
    sha256 = _text(table, "sha256")
    if len(bytes.fromhex(sha256)) != 32:
        raise ValueError(f"sha256 is {sha256!r}")
    return Result(
        dataset=_text(table, "dataset"),
        shard=_number(table, "shard"),
        sha256=sha256.lower(),
        level=Level(table["level"]),
        checked=_checked(table),
        checked_at=at,
        host=_text(table, "host"),
        slurm_job_id=_text(table, "slurm_job_id") if table["slurm_job_id"] is not None else None,
        slurm_array_task=_text(table, "slurm_array_task") if table["slurm_array_task"] is not None else None,
    )


def _checked(table: dict[str, Any]) -> Checked:
    verdict, findings, found = Verdict(table["verdict"]), _findings(table["findings"]), _number(table, "found")
    if (verdict is Verdict.GOOD) != (found == 0) or len(findings) != min(found, KEPT):
        raise ValueError(f"{verdict} does not go with {found} findings, of which {len(findings)} are told")
    seconds = table["seconds"]
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds is {seconds!r}")
    file = table["file"]
    seen = Seen(*(_number(file, name) for name in ("inode", "size", "mtime_ns"))) if file is not None else None
    if (seen is None) != (verdict is Verdict.MISSING):
        raise ValueError(f"{verdict} does not go with the file {file!r}")
    return Checked(verdict, findings, found, _number(table, "bytes"), float(seconds), seen)


def _findings(told: Sequence[Any]) -> tuple[Finding, ...]:
    found = tuple(Finding(what, where) for what, where in told)
    for text in (text for finding in found for text in (finding.what, finding.where) if text is not None):
        if not isinstance(text, str):
            raise ValueError(f"a finding says {text!r}")
        text.encode()  # half a surrogate pair is no text that the database could hold
    return found


def _text(table: dict[str, Any], name: str) -> str:
    text = table[name]
    if not isinstance(text, str):
        raise ValueError(f"{name} is {text!r}")
    text.encode()
    return text


def _number(table: dict[str, Any], name: str) -> int:
    number = table[name]
    if not isinstance(number, int) or isinstance(number, bool) or not -_LARGEST <= number <= _LARGEST:
        raise ValueError(f"{name} is {number!r}")
    if number < 0 and name != "mtime_ns":  # a file may be older than 1970
        raise ValueError(f"{name} is {number!r}")
    return number

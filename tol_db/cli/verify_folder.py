"""Prints what the check of a folder of shards has found (``tol-db verify DIR``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tol_db.errors import TolDbError
from tol_db.progress import amount, duration
from tol_db.report.tables import cell
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.foreign.check import FolderReport

SHOWN = 20
"""Findings of each kind that the text lists."""


def verify_folder(
    settings: Settings, folder: Path, *, workers: int | None, decode: bool, log: Path | None, json_: bool
) -> None:
    """Check a folder of shards and print what is wrong with them.

    Raises:
        TolDbError: something is wrong (exit code 1), or the check could not be made.
    """
    from materialize.foreign.check import check_folder

    report = check_folder(
        folder, workers=workers or settings.workers, decode=decode, image_timeout=settings.image_timeout, log=log
    )
    if json_:
        # names out of archives need not be UTF-8: all that is not ASCII is escaped
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        for line in _lines(report):
            click.echo(line)
    if report.counts:
        number = sum(count.number for count in report.counts)
        raise TolDbError(
            f"{cell(folder)}: {number:,} findings in {report.shards_at_fault:,} files",
            hint="take the files from where they came, or write them anew, and verify again",
        )


def _lines(report: FolderReport) -> Iterator[str]:
    yield (
        f"{cell(report.folder)}: {report.shards:,} shards, {report.samples:,} samples, "
        f"{amount(report.bytes, 'bytes')}, {duration(report.seconds)}"
    )
    if report.extensions:
        yield f"  a sample has: {cell(', '.join(report.extensions))}"
    if not report.decode:
        yield "  images were not decoded (--no-decode)"
    if report.from_log:
        yield f"  {report.from_log:,} of the results are from an earlier run (--log)"
    if report.empty_members:
        yield f"  members without a byte, no fault: {report.empty_members:,}"
    if report.empty_archives:
        yield f"  archives without a member, no fault: {report.empty_archives:,}"
    for share in report.shared_between:
        folders = f"{_within(share.first, report)} and {_within(share.second, report)}"
        yield f"  keys that are both in {folders}, no fault between folders: {share.keys:,}"
    yield from _findings(report)
    if not report.counts:
        yield "nothing is wrong"


def _findings(report: FolderReport) -> Iterator[str]:
    from materialize.foreign.result import MEANING

    for count in report.counts:
        yield f"{count.kind}: {MEANING[count.kind]}: {count.number:,}"
        shown = [finding for finding in report.findings if finding.kind == count.kind][:SHOWN]
        for finding in shown:
            yield f"  {_within(finding.shard, report)}: {cell(finding.message)}"
        if count.number > len(shown):
            yield f"  … {count.number:,} in all; --json lists more"


def _within(path: str, report: FolderReport) -> str:
    """A path below the folder, as short as it can be."""
    root = Path(report.folder).absolute()
    return cell(Path(path).relative_to(root) if Path(path).is_relative_to(root) else path)

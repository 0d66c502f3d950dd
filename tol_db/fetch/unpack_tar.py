"""A tar or tar.gz: read once from start to end, by one thread; written by several. And ``.tar.gz`` to ``.tar``."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from materialize.archive import MAX_MEMBER, Archive
from materialize.containers import kind_of
from materialize.shard import link_exclusively
from materialize.streams import INFLATED, GzipReader, HashingReader, ZlibError
from tol_db.errors import CannotWrite, ContainerError
from tol_db.fetch.partial import sync_folder
from tol_db.fetch.sums import Sums, sums_of
from tol_db.fetch.unpack import Escape, Place, target_of, told

WAITING = 32
"""Members that wait for a writer: enough to bridge a slow folder, few enough to hold in memory."""

_Job = tuple[str, str, bytes]


def unpack_tar(place: Place, *, threads: int, check: Callable[[], None], advance: Callable[[float], None]) -> None:
    """Write the wanted members into the place's folder.

    A stream cannot be entered in the middle: a run after a kill inflates what was written before once more,
    compares it, and goes on. Members of one folder are written by one thread, in their order.

    Args:
        threads: how many write; inflating stays with the calling one.
        check: raises when the run is to stop.
        advance: told the bytes of the archive as they are read.

    Raises:
        ContainerError: cut off, a wrong checksum, a link or a name that leads out; names the member.
        CannotWrite.
    """
    writers = [_Writer(place) for _ in range(threads)]
    try:
        with Archive(place.archive, kind_of(place.archive) or "tar", advance) as archive:
            for member in archive:
                check()
                try:
                    target = target_of(member.name, place.extract)
                except Escape as err:
                    hint = "do not trust this archive"
                    raise ContainerError(place.archive, member.name, str(err), hint=hint) from None
                if target is None or member.is_folder:
                    continue
                if not member.is_file:
                    raise ContainerError(place.archive, member.name, "a link or device, not a file")
                if member.size > MAX_MEMBER:
                    raise ContainerError(
                        place.archive, member.name, f"{member.size:,} bytes: no image is that large"
                    )
                part, name = target
                writer = writers[crc32(os.fsencode(part)) % threads]
                writer.take((part, name, archive.data(member)))
            archive.drain()
        for writer in writers:
            writer.finish()
    finally:
        for writer in writers:
            writer.stop()


class _Writer:
    """A thread that writes members in the order in which they come."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._jobs: queue.Queue[_Job | None] = queue.Queue(WAITING)
        self._error: BaseException | None = None
        self._dropped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="untar", daemon=True)
        self._thread.start()

    def take(self, job: _Job) -> None:
        """Raises: what an earlier member failed with."""
        if self._error is not None:
            raise self._error
        self._jobs.put(job)

    def finish(self) -> None:
        """Wait until all is written. Raises: as :meth:`take`."""
        self._jobs.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End it, whatever waits still."""
        self._dropped.set()
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._error is None and not self._dropped.is_set():
                try:
                    self._place.put(*job)
                except BaseException as err:  # noqa: BLE001  raised again by the thread that reads
                    self._error = err


def inflate(
    archive: Path, target: Path, *, check: Callable[[], None], advance: Callable[[int], None]
) -> tuple[Sums, int]:
    """Write the ``.tar`` of a ``.tar.gz`` beside it: random access, the same members.

    Under a partial name until it is whole, synced and the gzip checksums were right; begun anew after a kill.
    The caller holds the archive's lock: two at once would write one partial.

    Returns:
        The sums of the ``.tar``, and its mtime in ns.

    Raises:
        ContainerError: cut off, no gzip, or a wrong checksum.
        CannotWrite: also where another file has the name.
    """
    partial = target.with_name(f".{target.name}.partial")
    with told(partial):
        partial.unlink(missing_ok=True)  # after a kill it may be a second name of the whole .tar: never written to
    sha256 = hashlib.sha256()
    size = 0
    with told(partial), archive.open("rb", buffering=0) as file, partial.open("xb", buffering=0) as out:
        raw = HashingReader(file, advance, hashed=False)
        reader = GzipReader(raw)
        try:
            while block := reader.read(INFLATED):
                check()
                sha256.update(block)
                size += len(block)
                view = memoryview(block)
                while view:
                    view = view[out.write(view) :]
        except (EOFError, ZlibError) as err:
            hint = f"remove {archive.name} and fetch it again"
            raise ContainerError(archive, None, str(err), hint=hint) from None
        finally:
            raw.close()
        os.fsync(out.fileno())
    sums = Sums(size, sha256.hexdigest(), None)
    return sums, _publish(partial, target, sums, check)


def _publish(partial: Path, target: Path, sums: Sums, check: Callable[[], None]) -> int:
    """Give the whole file its name, unless the very bytes have it already; its mtime in ns.

    Raises: CannotWrite, where another file has the name; that one is not touched.
    """
    with told(target):
        try:
            link_exclusively(partial, target)
        except FileExistsError:
            mtime = target.stat().st_mtime_ns  # before it is read: a change while it is read shows
            if not target.is_file() or sums_of(target, md5=False, check=check) != sums:
                partial.unlink()
                raise CannotWrite(
                    f"{target}: is there already, and not from this archive",
                    hint="move it away and run again, or leave the archive as it is: without --as-tar",
                ) from None
        else:
            mtime = target.stat().st_mtime_ns
        partial.unlink(missing_ok=True)
        sync_folder(target.parent)
    return mtime

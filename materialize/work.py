"""One work unit: read, transform, write. It holds no database; what it tells, it tells by receipts."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from materialize.captions import texts
from materialize.containers import Wanted, read_members, storage_error
from materialize.image import Rejected, convert
from materialize.read_ahead import read_ahead
from materialize.receipt import DIGEST_BYTES, Fact, LeftOut, Receipt, write_receipt
from materialize.recipe import Recipe
from materialize.root import require_mounted
from materialize.shard import Part, ShardWriter, part
from materialize.unit import ContainerTask, ImageTask, LabelText, Place, ShardTask, UnitTask
from tol_db.errors import ContainerChanged, ContainerError, InputError, Interrupted

LABELS_KEPT = 4096
"""Labels whose ten texts are kept ready to be written (3 KB): neighbours in an archive often share one."""


@dataclass(slots=True)
class _OpenShard:
    """A shard that is being written."""

    task: ShardTask
    writer: ShardWriter
    started_at: str
    start: float
    left_out: list[LeftOut] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    @property
    def next_position(self) -> int:
        return len(self.facts)


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of an image: a jpg, or the reason why there is none."""

    fact: Fact
    jpg: bytes | None
    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of an image that the decoder does not survive: it is not decoded again."""

    outcome: str
    detail: str


class Watch(Protocol):
    """Is told of each image right before and after it is decoded."""

    def enter(self, key: str) -> None: ...

    def leave(self) -> None: ...


class UnitWriter:
    """Writes the shards of a unit.

    Args:
        task: the unit.
        recipe: what a sample is.
        root: the output root.
        token: of this attempt.
        watch: is told of each image that is decoded.
        verdicts: key → outcome of images that are not to be decoded.
        on_shard: called with the path of the receipt of each shard that has its final name.
        on_images: called with a number of images that have been read, now and then.
        stopping: asked between images; True ends the work with :class:`Interrupted`.
    """

    def __init__(
        self,
        task: UnitTask,
        recipe: Recipe,
        root: Path,
        token: str,
        *,
        watch: Watch,
        verdicts: Mapping[str, Verdict],
        on_shard: Callable[[Path], None],
        on_images: Callable[[int], None] = lambda _number: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.task, self.recipe, self.root, self.token = task, recipe, root, token
        self.watch, self.verdicts = watch, verdicts
        self.on_shard, self.on_images, self.stopping = on_shard, on_images, stopping
        self._tasks = {shard.number: shard for shard in task.shards}
        self._open: dict[int, _OpenShard] = {}
        self._parts = lru_cache(maxsize=LABELS_KEPT)(self._encoded)

    def run(self) -> None:
        """Read each container once and write each shard.

        Raises:
            ContainerError: storage failed or changed; no image is blamed for it.
            CannotWrite, ShardConflict: as :class:`ShardWriter`.
            Interrupted: it was asked to stop. Whatever is raised, no partial file is left.
        """
        try:
            for shard in self.task.shards:
                if shard.planned == 0:  # an empty shard has its file too: numbers have no holes
                    self._finish(self._opened(shard.number))
            for container in self.task.containers:
                self._read(container)
            if self._open or self._tasks:
                raise InputError(f"work unit {self.task.number}: the plan has holes", hint="tol-db doctor")
        finally:
            for shard_in_work in self._open.values():
                shard_in_work.writer.abort()

    def _read(self, container: ContainerTask) -> None:
        _require_unchanged(container)
        being_read: deque[ImageTask] = deque()  # each is made once, when the thread that reads comes to it
        wanted = _wanted(container.images, being_read)
        index = None if container.in_order else container.index  # one pass over all of it is faster in order
        reading = read_members(container.path, container.kind, wanted, index)
        members = read_ahead(reading, _sizes(container.images))
        number, planned = 0, len(container.images)
        with closing(members):
            for number, (_, data) in enumerate(members, 1):
                if self.stopping():
                    raise Interrupted("stopped; what is complete is kept", hint="run the same command again")
                self._place(being_read.popleft(), data)
                if number % 64 == 0 or number == planned:
                    self.on_images(number % 64 or 64)
        if number < planned:
            raise ContainerChanged(
                container.path,
                None,
                f"it ended after {number:,} of {planned:,} planned images",
                hint="run `tol-db ingest containers` on its folder, then `tol-db plan --refresh`",
            )

    def _place(self, image: ImageTask, data: bytes) -> None:
        converted = self._converted(image.key, data)
        for place in image.places:
            shard = self._opened(place.shard)
            if place.position != shard.next_position:
                raise ContainerChanged(
                    shard.task.path,
                    image.key,
                    "the order of the container is not the planned one any more",
                    hint="run `tol-db plan --refresh`",
                )
            self._add(shard, image.key, place, converted)
            if shard.next_position == shard.task.planned:
                self._finish(shard)

    def _converted(self, key: str, data: bytes) -> Converted:
        if key in self.verdicts:
            verdict = self.verdicts[key]
            return Converted(Fact(content=_digest(data)), None, verdict.outcome, verdict.detail)
        self.watch.enter(key)
        try:
            return transform(data, self.recipe)
        finally:
            self.watch.leave()

    def _add(self, shard: _OpenShard, key: str, place: Place, converted: Converted) -> None:
        shard.facts.append(converted.fact)
        if converted.jpg is None:
            shard.left_out.append(LeftOut(place.position, converted.outcome, converted.detail))
        else:
            shard.writer.add(key, (part("jpg", converted.jpg), *self._parts(place.label)))

    def _opened(self, number: int) -> _OpenShard:
        if number not in self._open:
            require_mounted(self.root)
            task = self._tasks.pop(number)
            writer = ShardWriter(self.root / task.path, self.token)
            self._open[number] = _OpenShard(task, writer, _utc(), time.monotonic())
        return self._open[number]

    def _finish(self, shard: _OpenShard) -> None:
        file = shard.writer.finish()
        receipt = Receipt(
            dataset=self.task.dataset,
            shard=shard.task.number,
            path=str(shard.task.path),
            digest=shard.task.digest,
            size=file.size,
            sha256=file.sha256,
            samples=file.samples,
            token=self.token,
            host=socket.gethostname(),
            pid=os.getpid(),
            slurm_job_id=os.environ.get("SLURM_JOB_ID"),
            started_at=shard.started_at,
            seconds=round(time.monotonic() - shard.start, 3),
            left_out=tuple(shard.left_out),
            facts=tuple(shard.facts),
            inode=file.inode,
            mtime_ns=file.mtime_ns,
        )
        path = write_receipt(self.root, receipt)
        shard.writer.publish()
        del self._open[shard.task.number]
        self.on_shard(path)

    def _encoded(self, label: int) -> tuple[Part, ...]:
        text: LabelText = self.task.labels[label]
        return tuple(part(ext, t.encode()) for ext, t in texts(text.lineage, text.common_name).items())


@runtime_checkable
class _Packed(Protocol):
    """Images whose sizes are known without making them."""

    @property
    def sizes(self) -> Sequence[int]: ...


def _sizes(images: Sequence[ImageTask]) -> Iterable[int]:
    return images.sizes if isinstance(images, _Packed) else (image.wanted.size for image in images)


def _wanted(images: Iterable[ImageTask], being_read: deque[ImageTask]) -> Iterator[Wanted]:
    for image in images:
        being_read.append(image)
        yield image.wanted


def try_alone(task: UnitTask, key: str, recipe: Recipe, watch: Watch) -> None:
    """Read and convert one image of a unit, and nothing else: does the process survive it?

    Raises:
        ContainerError: it cannot be read.
    """
    for container in task.containers:
        for image in container.images:
            if image.key == key:
                _require_unchanged(container)
                data = _read_one(container, image.wanted)
                watch.enter(key)
                transform(data, recipe)
                watch.leave()
                return


def _read_one(container: ContainerTask, wanted: Wanted) -> bytes:
    """One member: by the index where there is one; else, and where that is not fit, a tar.gz from its start on."""
    if container.index is not None:
        try:
            return _only(read_members(container.path, container.kind, [wanted], container.index))
        except ContainerError:
            if not container.in_order:
                raise
    return _only(read_members(container.path, container.kind, [wanted]))


def _only(members: Generator[tuple[Wanted, bytes], None, None]) -> bytes:
    with closing(members):
        return next(members)[1]


def transform(data: bytes, recipe: Recipe) -> Converted:
    """Bytes of an original → jpg and facts, or the reason why it is left out. Never raises for content."""
    content = _digest(data)
    try:
        made = convert(data, recipe)
    except Rejected as rejected:
        fact = Fact(rejected.width, rejected.height, rejected.mode, content, None)
        return Converted(fact, None, rejected.outcome, rejected.detail)
    return Converted(Fact(made.width, made.height, made.mode, content, _digest(made.jpg)), made.jpg)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def _require_unchanged(container: ContainerTask) -> None:
    """An archive must be the one that was scanned: another one may hold other pictures under the names."""
    if container.size is None:
        return
    try:
        status = container.path.stat()
    except OSError as err:
        raise storage_error(container.path, None, err) from err
    if (status.st_size, status.st_mtime_ns) != (container.size, container.mtime_ns):
        raise ContainerChanged(
            container.path,
            None,
            "it has changed since it was scanned",
            hint="run `tol-db ingest containers` on its folder",
        )


def _utc() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

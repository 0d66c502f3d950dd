"""The next members of a container are read while one is decoded: a thread, and a few of them kept ready.

Reading, inflating and decoding all let go of the interpreter. On a network file system this hides the time in which
a file is found; with a core to spare it takes the time of reading and inflating off that of a worker. What is kept
ready counts in the memory of a worker, which is planned to the last megabyte for big pictures, so it is little.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Generic, TypeVar

T = TypeVar("T")

MEMBERS = 16
"""Members that are kept ready at most."""
BYTES = 2 << 20
"""Bytes that are kept ready at most. A larger member is read when it is asked for, not before."""


def read_ahead(source: Generator[T, None, None], sizes: Iterable[int]) -> Generator[T, None, None]:
    """What ``source`` yields, in its order, read by a thread some steps ahead.

    Close it (or exhaust it) to end the thread; a read that is under way is waited for. What the source raises,
    be it when it is closed, is raised here, after all that it yielded before; whoever has closed this is told
    nothing more. A source that ends early ends this early: whoever knows what it is has to count.

    Args:
        source: yields one thing for each of ``sizes``; from now on only the thread runs it.
        sizes: bytes that each of them takes; the thread asks for each before it reads that thing.
    """
    line = _Line(source, sizes)
    thread = threading.Thread(target=line.fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield from line.taken()
    finally:
        line.stop()
        thread.join()


class _Line(Generic[T]):
    """Things that wait to be taken, in order; filled by one thread and emptied by another.

    The filler is woken when the line is half empty, not at each thing taken: waking a thread costs as much as
    reading a small file.
    """

    def __init__(self, source: Generator[T, None, None], sizes: Iterable[int]) -> None:
        self._source, self._sizes = source, sizes
        self._changed = threading.Condition()
        self._ready: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._is_asked = self._is_stopped = self._is_ended = False
        self._fault: BaseException | None = None

    def fill(self) -> None:
        """Runs in the thread."""
        try:
            with closing(self._source):
                self._read_all()
        except BaseException as fault:  # noqa: BLE001  it is raised again where the things are taken
            self._fault = fault
        finally:
            with self._changed:
                self._is_ended = True
                self._changed.notify()

    def _read_all(self) -> None:
        for size in self._sizes:
            if not self._make_room(size):
                return
            try:
                thing = next(self._source)
            except StopIteration:
                return
            with self._changed:
                self._ready.append((thing, size))
                self._bytes += size
                del thing  # its memory belongs to whoever takes it
                if self._is_asked:
                    self._changed.notify()

    def taken(self) -> Iterator[T]:
        """All things in their order."""
        while True:
            with self._changed:
                self._is_asked = not self._ready
                if self._is_asked:
                    self._changed.notify()
                    self._changed.wait_for(lambda: self._ready or self._is_ended)
                    self._is_asked = False
                if not self._ready:
                    break
                thing, size = self._ready.popleft()
                self._bytes -= size
                if self._is_half_empty():
                    self._changed.notify()
            yield thing
            del thing
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def _make_room(self, size: int) -> bool:
        """Wait until one more of this size may be read; False when nothing is wanted any more."""
        with self._changed:
            if self._ready and (len(self._ready) >= MEMBERS or self._bytes + size > BYTES):
                self._changed.wait_for(lambda: self._is_stopped or self._is_half_empty())
            if size > BYTES:
                self._changed.wait_for(lambda: self._is_stopped or (self._is_asked and not self._ready))
            return not self._is_stopped

    def _is_half_empty(self) -> bool:
        return len(self._ready) <= MEMBERS // 2 and self._bytes <= BYTES // 2

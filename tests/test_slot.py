"""What a worker is decoding, as its parent sees it while the worker goes on."""

from __future__ import annotations

import multiprocessing
import time
import uuid
from typing import Any

from materialize.slot import Slot

KEYS = [str(uuid.UUID(int=number * 0x01010101010101010101010101010101 % 2**128)) for number in range(1, 200)]


def _work(slot: Slot, over: Any) -> None:
    while not over.is_set():
        for key in KEYS:
            slot.enter(key)
            slot.leave()


def test_two_looks_that_agree_are_never_torn() -> None:
    context = multiprocessing.get_context("spawn")
    slot, over = Slot(), context.Event()
    worker = context.Process(target=_work, args=(slot, over), daemon=True)
    worker.start()
    try:
        end, agreed, before = time.monotonic() + 3, 0, None
        while time.monotonic() < end:
            seen = slot.decoding()
            if seen is not None and seen == before:
                agreed += 1
                assert seen.key in KEYS
                assert 0 <= time.monotonic() - seen.since < 60
            before = seen
        assert worker.is_alive()
    finally:
        over.set()
        worker.join(timeout=10)


def test_an_image_is_seen_while_it_is_decoded_and_not_after() -> None:
    slot = Slot()
    assert slot.decoding() is None
    slot.enter(KEYS[3])
    seen = slot.decoding()
    assert seen is not None and seen.key == KEYS[3]
    slot.leave()
    assert slot.decoding() is None

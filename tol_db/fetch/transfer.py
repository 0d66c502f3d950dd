"""One file from a server to its final name, however often the connection breaks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from tol_db.errors import CannotWrite, InputError, InputMissing, LeaseHeld, TolDbError
from tol_db.fetch.aria2 import SMALLEST, run_aria2c
from tol_db.fetch.http import NetworkFault, Remote, Response
from tol_db.fetch.manifest import RemoteFile
from tol_db.fetch.manners import Manners, Surroundings
from tol_db.fetch.pace import SLOWEST, TooSlow, Watch
from tol_db.fetch.partial import Note, Partial
from tol_db.fetch.space import require_space
from tol_db.fetch.sums import Sums, fault, sums_of
from tol_db.fetch.urls import shown

CHUNK = 256 * 1024
LONGEST_PAUSE = 60.0
"""Seconds between two tries, unless the server asks for more."""
LONGEST_REQUEST = 3600.0
"""Seconds that a server may ask us to wait (``Retry-After``); who asks for more is told to the user instead."""
MOST_RESTARTS = 5
"""How often a transfer may begin anew because the server changed the file or resumes nothing; and once more for
each retry."""
_LARGE = 1 << 30
"""Bytes whose sums take long enough to say so."""
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_PATIENT = "run the same command again: it goes on where it was"


@dataclass(frozen=True, slots=True)
class Got:
    """A file that is whole and has its final name."""

    sums: Sums
    remote: Remote


class _Refused(TolDbError):
    """The server asks to come back later."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


class _Anew(TolDbError):
    """What is there is of no use: the transfer begins anew."""


@dataclass(slots=True)
class Transfer:
    """Fetches one file.

    Attributes:
        file: what the manifest says.
        final: where it goes.
        manners, around: how, and with what.
        glued: whether the partial is made of pieces; a wrong sum may then be the fault of one of them.
    """

    file: RemoteFile
    final: Path
    manners: Manners
    around: Surroundings
    glued: bool = False
    partial: Partial = field(init=False)
    _best: int = field(init=False, default=0)
    _restarts: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.partial = Partial(self.final)

    def run(self) -> Got | None:
        """Fetch, verify, name it.

        Returns:
            None where the server does not have a file that is optional.

        Raises:
            InputError: the server has other bytes than the manifest says.
            InputMissing: it has no such file.
            CannotWrite, LeaseHeld, Interrupted: the partial stays.
            TolDbError: it was tried often enough.
        """
        with self.partial.held(self.around.wait):
            try:
                if self.final.exists():
                    raise LeaseHeld(f"{self.final}: another process has just fetched it", hint="run again")
                if self._fetch() is None:
                    return None
                sums = self._verify()
                note = self._note()
                self.partial.finish()
            except OSError as err:  # of the note beside the partial
                raise CannotWrite(f"{self.partial.note_path}: {err.strerror}", hint=_PATIENT) from None
            finally:
                self.partial.remove_if_empty()
        return Got(sums, Remote(note.bytes, note.etag, note.modified, note.sha256))

    # ------------------------------------------------------------------ tries

    def _fetch(self) -> bool | None:
        """Try until the partial is whole; None where an optional file is not there."""
        self._best, self._restarts, tries = self._have(), 0, 0
        while True:
            self.around.check()
            asked: float | None = None
            why: TolDbError
            try:
                return self._attempt()
            except _Anew as err:
                why, counts = err, False
            except TooSlow as err:
                why, counts = TolDbError(f"{shown(self.file.url)}: {err}"), True
            except (NetworkFault, _Refused) as err:
                why, counts = err, self._have() <= self._best
                asked = err.seconds if isinstance(err, _Refused) else None
            self._best = max(self._best, self._have())
            tries = tries + 1 if counts else 0
            # each beginning lowers what a try must exceed: without a bound, a server could be read for ever
            if self._restarts > MOST_RESTARTS + self.manners.retries:
                raise TolDbError(f"{why}; given up, begun anew {self._restarts} times", hint="try another mirror")
            if not isinstance(why, _Anew):
                self._pause(why, tries, asked)

    def ask(self) -> Remote | None:
        """What the server says of the file, which is not fetched; tried as often as a transfer.

        Returns:
            None where the server does not have a file that is optional.

        Raises:
            InputMissing: it has no such file.
            Interrupted.
            TolDbError: it refuses, or was tried often enough.
        """
        tries = 0
        while True:
            self.around.check()
            try:
                probe = self.around.client.get(self.file.url, start=0, end=0, token=self.file.token)
                try:
                    # 416: an empty file has no first byte
                    return probe.remote if probe.status == 416 or self._look(probe) else None
                finally:
                    probe.close()
            except (NetworkFault, _Refused) as err:
                tries += 1
                self._pause(err, tries, err.seconds if isinstance(err, _Refused) else None)

    def _pause(self, why: TolDbError, tries: int, asked: float | None) -> None:
        """Wait before the next try. Raises: TolDbError, where there is to be none."""
        if tries > self.manners.retries:
            raise TolDbError(f"{why}; given up after {tries} tries", hint=_PATIENT)
        if asked is not None and asked > LONGEST_REQUEST:
            raise TolDbError(f"{why}; it asks to come back in {asked:,.0f} s", hint=_PATIENT)
        seconds = min(LONGEST_PAUSE, self.manners.retry_wait * 2.0 ** min(max(tries - 1, 0), 10))
        seconds = max(seconds * random.uniform(0.5, 1.0), asked or 0.0)
        self.around.say(f"{why}; again in {seconds:.1f} s")
        self.around.wait(seconds)

    def _have(self) -> int:
        """Bytes at the beginning of the file that are there for sure."""
        note = self.partial.note()
        if note is None:
            return 0
        return self.partial.size() if note.by == "http" else self.partial.written()

    def _attempt(self) -> bool | None:
        """One connection, to the end of the file; whether there is a file."""
        note = self.partial.note()
        have = self.partial.size() if note is not None and note.by == "http" else 0
        if note is not None and note.url != shown(self.file.url):
            note, have = None, 0
        if note is not None and note.bytes is not None and note.bytes == have:
            self.glued = True  # by an earlier run, as far as this one can tell
            return True
        if self.manners.aria2c is not None:
            done = self._by_aria2c(self.manners.aria2c, note)
            if done is not False:
                return done
        response = self.around.client.get(
            self.file.url,
            start=have,
            if_range=Remote(note.bytes, note.etag, note.modified).if_range if note else None,
            token=self.file.token,
        )
        try:
            if not self._look(response):
                return None
            self._check_size(response.remote)
            have = self._start(response, note, have)
            self._receive(response, have)
        finally:
            response.close()
        return True

    def _look(self, response: Response) -> bool:
        """Whether there are bytes to come; False where an optional file is not there."""
        status, where = response.status, shown(self.file.url)
        if status in (200, 206):
            return True
        if status in (404, 410):
            if self.file.optional:
                return False
            raise InputMissing(
                f"{where}: the server has no such file ({status})",
                hint="has it moved? `tol-db fetch manifest` prints the addresses; --manifest names your own",
            )
        if status in _AGAIN:
            raise _Refused(f"{where}: the server answers {status}", response.retry_after)
        if status == 416:
            self._forget("the server does not have so many bytes")
        if status in (401, 403, 407):
            raise TolDbError(
                f"{where}: the server refuses ({status})",
                hint="where an account is needed, put its token into the environment as TOL_DB_FETCH_TOKEN",
            )
        raise TolDbError(f"{where}: the server answers {status}", hint="try again later, or another mirror")

    def _check_size(self, remote: Remote) -> None:
        wanted = self.file.bytes
        if wanted is not None and remote.bytes is not None and wanted != remote.bytes:
            raise InputError(
                f"{shown(self.file.url)}: the server has {remote.bytes:,} bytes; the manifest says {wanted:,}",
                hint="a new release, or a wrong server: look at both, then mend the manifest (--manifest)",
            )

    def _forget(self, why: str) -> None:
        """Begin anew, with a new connection."""
        restarts = self._restarts + 1  # also where there was nothing: the server might say so for ever
        self._begin(Note(shown(self.file.url), None, None, None, None, "http"))
        self._restarts = restarts
        raise _Anew(f"{shown(self.file.url)}: {why}")

    def _begin(self, note: Note) -> None:
        """Throw away what is there; what comes is no less than nothing, however much there was."""
        have = self._have()
        self.around.advance(-have)
        self._restarts += have > 0
        self._best = 0
        self.glued = False
        self.partial.begin(note)

    # ------------------------------------------------------------------ by one connection

    def _start(self, response: Response, note: Note | None, have: int) -> int:
        """Where the bytes that come belong; begins anew where they do not fit to what is there."""
        remote = response.remote
        if response.status == 206 and have:
            if response.start == have and note is not None and self._goes_on(note, remote):
                self.glued = True
                return have
            self._forget("the file has changed, or the server cannot tell whether it has")
        if response.status == 206:
            raise NetworkFault(f"{shown(self.file.url)}: a part was sent that nobody asked for")
        if response.is_encoded and not self.file.path.lower().endswith((".gz", ".tgz")):
            raise InputError(f"{shown(self.file.url)}: the server sends it compressed though asked not to")
        if response.is_page and not self.file.path.lower().endswith((".html", ".htm")):
            raise InputError(
                f"{shown(self.file.url)}: the server sends a web page, not the file",
                hint="open the address in a browser: is a login or the terms of a proxy in the way?",
            )
        if not response.is_delimited and self.file.bytes is None and not (self.file.sha256 or self.file.md5):
            raise InputError(
                f"{shown(self.file.url)}: the server does not say how long it is, and the manifest neither",
                hint="a cut file could not be told from a whole one: give bytes or sha256 in a manifest",
            )
        if have:
            self.around.say(f"{shown(self.file.url)}: the server begins anew")
        self._begin(Note.of(self.file.url, remote))
        require_space(self.final.parent, remote.bytes, self.final.name)
        return 0

    def _goes_on(self, note: Note, remote: Remote) -> bool:
        """Whether what comes belongs to what is there; where the server names no version, a sum will tell."""
        unnamed = not remote.has_validator and note.etag is None and note.modified is None
        known = self.file.sha256 is not None or self.file.md5 is not None
        return note.is_of(self.file.url, remote) or (unnamed and known and note.bytes == remote.bytes)

    def _receive(self, response: Response, have: int) -> None:
        total = response.remote.bytes if response.remote.bytes is not None else self.file.bytes
        rate = self.around.pace.rate
        watch = Watch(self.manners.timeout, min(SLOWEST, rate / 2) if rate else SLOWEST)
        chunk = CHUNK if rate is None else max(1024, min(CHUNK, int(rate / 4)))
        while data := response.read(chunk):
            if total is not None and have + len(data) > total:
                raise InputError(f"{shown(self.file.url)}: more than the {total:,} bytes that were announced")
            self.partial.write_at(have, data)
            have += len(data)
            self.around.advance(len(data))
            self.around.wait(self.around.pace.delay(len(data)))
            watch.came(len(data))
        if total is not None and have < total:
            raise NetworkFault(f"{shown(self.file.url)}: broke off after {have:,} of {total:,} bytes")
        if total is None:  # a chunked answer, ended as it should
            note = Note.of(self.file.url, response.remote)
            self.partial.write_note(Note(note.url, have, note.etag, note.modified, note.sha256, "http"))

    # ------------------------------------------------------------------ by several

    def _by_aria2c(self, program: Path, note: Note | None) -> bool | None:
        """Whether aria2c has fetched it; False where one connection is the better way."""
        probe = self.around.client.get(self.file.url, start=0, end=0, token=self.file.token)
        remote = probe.remote
        try:
            if probe.status == 416:  # an empty file
                return False
            if not self._look(probe):
                return None
            self._check_size(remote)
        finally:
            probe.close()
        if probe.status != 206 or remote.bytes is None or remote.bytes < SMALLEST or not probe.is_open:
            return False
        there = note is not None and note.is_of(self.file.url, remote)
        if note is None or not there or (note.by == "aria2c" and not self.partial.control.exists()):
            self._begin(Note.of(self.file.url, remote, by="aria2c"))
            require_space(self.final.parent, remote.bytes, self.final.name)
        self.partial.mark("aria2c")
        self.glued = True
        try:
            run_aria2c(
                program,
                probe.url,
                self.partial,
                connections=self.manners.connections,
                rate=self.manners.aria2c_rate,
                timeout=self.manners.timeout,
                wait=self.around.wait,
                advance=self.around.advance,
            )
        except NetworkFault as err:
            if self.partial.written() == 0:  # it may not get there at all: no TLS, another proxy
                self.around.say(f"{self.final.name}: {err}; going on without aria2c")
                self.manners = replace(self.manners, aria2c=None)
                self.partial.begin(Note.of(self.file.url, remote))
                return False
            raise
        if self.partial.size() != remote.bytes or self.partial.control.exists():
            raise NetworkFault(f"aria2c: left {self.final.name} unfinished")
        self.partial.mark("http")
        return True

    # ------------------------------------------------------------------ is it the right one?

    def _note(self) -> Note:
        note = self.partial.note()
        if note is None:
            raise CannotWrite(f"{self.partial.note_path}: removed while the file was fetched", hint="run again")
        return note

    def _verify(self) -> Sums:
        """Sums of the whole partial; fetches it once more where pieces did not fit together."""
        while True:
            if self.partial.size() >= _LARGE:
                self.around.say(f"{self.final.name}: verifying")
            sums = sums_of(self.partial.path, md5=self.file.md5 is not None, check=self.around.check)
            wrong = fault(self.file, sums, self._note().sha256)
            if wrong is None:
                return sums
            if not self.glued:
                raise InputError(
                    f"{shown(self.file.url)}: {wrong}",
                    hint=f"the bytes are kept as {self.partial.path}; if they are right, mend the manifest "
                    "(--manifest) and run again",
                )
            self.around.say(f"{self.final.name}: {wrong}; it was fetched in pieces: once more, in one")
            self._begin(Note(shown(self.file.url), None, None, None, None, "http"))
            self._fetch_in_one()

    def _fetch_in_one(self) -> None:
        self.manners = replace(self.manners, aria2c=None)
        if self._fetch() is None:
            raise InputMissing(f"{shown(self.file.url)}: gone while it was fetched")
        self.glued = False

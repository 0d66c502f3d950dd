"""What can go wrong, and what a command exits with.

::

    TolDbError                     1   failed, or an audit found something
    ├── UsageError                 2   the call contradicts itself or names what is not there
    │   └── NameTaken              2   a dataset, split or blacklist of that name exists
    ├── InputError                65   the input is there and is wrong
    │   ├── NotADatabase          65   not SQLite, or not ours
    │   ├── SchemaError           65   a newer or unknown schema
    │   ├── RecipeChanged         65   planned with another recipe or other library versions
    │   └── ContainerError        65   an archive or folder that cannot be read as what it was scanned as
    │       └── ContainerChanged  65   it is not the one that was scanned
    ├── InputMissing              66   the input is not there
    │   └── OutputNotMounted      66   the output root has no marker of the dataset
    ├── CannotWrite               73   a folder or file cannot be written
    ├── ShardConflict              1   a final name is taken by other bytes
    └── Interrupted               75   stopped by a signal: run again
        ├── LeaseHeld             75   another run works on the dataset
        └── ControllerSilent      75   SLURM does not answer (materialize.cluster)

Every error carries one line that says what was wrong and where, and a hint that says what to do next. The
command line prints both and exits with ``exit_code``; nothing below it prints or exits.
The codes 65, 66, 73 and 75 are those of sysexits.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def printed(text: str) -> str:
    """A text that may hold what a stranger wrote, as a terminal may get it: one line, control signs escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint for a name that is not there: those that look like it, if any, and then ``otherwise``."""
    import difflib

    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(by_lower[each] for each in close)}? {otherwise}" if close else otherwise


class TolDbError(Exception):
    """Base of all errors that a user can act upon.

    Attributes:
        exit_code: what the process exits with.
        hint: what to do next, or None where the message says it all.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(TolDbError):
    exit_code = 2


class NameTaken(UsageError):
    pass


class InputError(TolDbError):
    exit_code = 65


class NotADatabase(InputError):
    pass


class SchemaError(InputError):
    pass


class RecipeChanged(InputError):
    pass


class ContainerError(InputError):
    """An archive or folder of images cannot be read.

    Attributes:
        path: the archive or folder.
        member: the member within it, or None where the fault is the container's own.
        why: what was wrong.
    """

    def __init__(self, path: Path | str, member: str | None, why: str, *, hint: str | None = None) -> None:
        where = f"{path}: member {member!r}" if member is not None else str(path)
        super().__init__(f"{where}: {why}", hint=hint)
        self.path = Path(path)
        self.member = member
        self.why = why


class ContainerChanged(ContainerError):
    pass


class InputMissing(TolDbError):
    exit_code = 66


class OutputNotMounted(InputMissing):
    pass


class CannotWrite(TolDbError):
    exit_code = 73


class ShardConflict(TolDbError):
    """The final name of a shard holds other bytes than those just written.

    Attributes:
        path: the file in the way.
    """

    def __init__(self, path: Path, *, hint: str | None = None) -> None:
        super().__init__(f"{path} is there already and holds other bytes", hint=hint)
        self.path = path


class Interrupted(TolDbError):
    exit_code = 75


class LeaseHeld(Interrupted):
    pass

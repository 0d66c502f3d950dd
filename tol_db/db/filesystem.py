"""Which file system a path lies on: a write-ahead log needs shared memory, which network mounts lack."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# fmt: off
NETWORK_TYPES = frozenset({
    "nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "pvfs2",
    "orangefs", "panfs", "afs", "9p", "virtiofs", "wekafs",
    "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.juicefs",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A mounted file system.

    Attributes:
        type: as the kernel names it (``ext4``, ``nfs4``, ``lustre``), ``unknown`` where it cannot be told.
        mount_point: where it is mounted.
    """

    type: str
    mount_point: str

    @property
    def is_network(self) -> bool:
        return self.type in NETWORK_TYPES


def filesystem_of(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> FileSystem:
    """The file system that ``path`` (which need not exist yet) lies on.

    Read from ``/proc/self/mountinfo`` (proc(5)); elsewhere the type is ``unknown`` and taken as local.
    """
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return FileSystem("unknown", "/")
    target = path.absolute()
    while not target.exists() and target != target.parent:
        target = target.parent
    target = target.resolve()
    best = FileSystem("unknown", "")
    for line in lines:
        left, separator, right = line.partition(" - ")
        fields = left.split()
        if not separator or len(fields) < 5 or not right.split():
            continue
        mount_point = _unescape(fields[4])
        # >=: of two mounts on one point the later one is seen
        if (target == Path(mount_point) or target.is_relative_to(mount_point)) and len(mount_point) >= len(
            best.mount_point
        ):
            best = FileSystem(right.split()[0], mount_point)
    return best


def _unescape(text: str) -> str:
    """proc(5) writes blanks, tabs, newlines and backslashes of a mount point as octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)

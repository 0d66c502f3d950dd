"""How WebDataset takes a member's name apart: which sample it belongs to, and as what. Pure.

The rules are those of ``webdataset.tariterators`` (``base_plus_ext``, ``group_by_keys``, ``tar_file_iterator``):
the key is the path up to the first dot of its last part, the extension is what follows, in lower case; members
with one key that follow each other are a sample; names such as ``__meta__`` are skipped. A test holds the two
equal. They are written out here because webdataset's regular expression needs quadratic time on a hostile name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

IMAGE_EXTENSIONS = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
LONGEST_PATH = 4096
"""Characters of a name; longer ones cannot be files anywhere (Linux's PATH_MAX), and would fill the memory."""
LONGEST_TOLD = 200
"""Characters of a name that a message shows."""

_METADATA = re.compile(r"__[^/]*__(?:$|/)")


@dataclass(frozen=True, slots=True)
class SampleName:
    """A member's name, taken apart.

    Attributes:
        key: of its sample, with the folders within the archive.
        extension: in lower case, without the first dot: ``jpg``, ``seg.png``.
    """

    key: str
    extension: str

    @property
    def is_image(self) -> bool:
        return self.extension.rpartition(".")[2] in IMAGE_EXTENSIONS


def sample_name(name: str) -> SampleName | None:
    """The key and extension of a member, or None where it has no key, no extension, or far too long a name."""
    if len(name) > LONGEST_PATH:
        return None
    start = name.rfind("/") + 1
    dot = name.find(".", start)
    if dot <= start or dot + 1 == len(name):
        return None
    return SampleName(name[:dot], name[dot + 1 :].lower())


def is_metadata(name: str) -> bool:
    """Whether WebDataset skips a member as metadata."""
    return bool(_METADATA.match(name)) or ("/" not in name and name.startswith("__") and name.endswith("__"))


def unsafe(name: str) -> str:
    """Why unpacking a member of this name would be dangerous, or ""."""
    if len(name) > LONGEST_PATH:
        return f"a name of {len(name)} characters"
    if name.startswith("/"):
        return "an absolute name"
    if ".." in name and ".." in name.split("/"):
        return "a name that leaves the folder (`..`)"
    if not name.isprintable() and any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        return "a control character in its name"
    return ""


def key_digest(key: str) -> int:
    """64 bits that stand for a key: ten million of them fit in 80 MB, and are compared in seconds."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def told(name: str) -> str:
    """A name out of an archive as a message shows it: quoted, escaped, not too long."""
    return repr(name) if len(name) <= LONGEST_TOLD else f"{name[:LONGEST_TOLD]!r}…"

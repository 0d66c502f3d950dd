"""Which image a file claims to be, by its name alone."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from tol_db.ingest.files import is_stored

RAW_NAMESPACE = uuid.UUID("05b99d57-e95b-553c-b64b-207ab9ffa7d5")
"""Of the ids of images that no mapping names. Made once: ``uuid5(NAMESPACE_DNS, "raw-images.tol-db")``."""

SYSTEM_FILE = "a file of the operating system"
NOT_STORED = "its name is not UTF-8; such bytes are shown as \\xNN"
NOT_A_PICTURE = "not a picture by its name"
NOT_AN_ID = "named neither by a TreeOfLife id nor <content_id>_<page_id>_eol….jpg"
NEEDS_MAPPING = "named by a TreeOfLife id: a mapping.sqlite is needed to know what it is"
NO_ROW = "no image row claims it"
DUPLICATE = "its image was found before, in this container or another"

_PICTURE = r"\.(?:jpe?g|jpe|jfif|png|gif|webp|tiff?|bmp)"
_is_picture = re.compile(rf".+{_PICTURE}", re.IGNORECASE | re.DOTALL).fullmatch
_by_id = re.compile(
    rf"([0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}|[0-9a-f]{{32}}){_PICTURE}",
    re.IGNORECASE | re.ASCII,
).fullmatch
_by_content = re.compile(rf"(\d{{1,18}})_(\d{{1,18}})_eol.*{_PICTURE}", re.IGNORECASE | re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Claim:
    """What a name says.

    Attributes:
        treeoflife_id: 16 bytes, or None.
        content_id, page_id: EOL's keys, or None.
        stray: why no image goes by this name, or None where it depends on the rows.
    """

    treeoflife_id: bytes | None = None
    content_id: int | None = None
    page_id: int | None = None
    stray: str | None = None


Claimer = Callable[[str], Claim]
"""Name of a member → what it claims to be."""


def raw_id(*parts: str) -> bytes:
    """The id of an image that no mapping names: the same on every machine.

    It is the uuid5 (RFC 4122 §4.3) in ``RAW_NAMESPACE`` of ``eol/<content_id>/<page_id>``,
    ``inat21/<class folder>/<file>`` or ``bioscan/part<N>/<file>``.
    """
    return uuid.uuid5(RAW_NAMESPACE, "/".join(parts)).bytes


def folder_in_id(source: str, path: str, number: int | None) -> str:
    """The folder of an image as it stands in its raw id: ``part12``, or the class folder's own name."""
    return f"part{number}" if source == "bioscan" else path.rpartition("/")[2]


def mapped_eol(name: str) -> Claim:
    """Published archives name members ``<treeoflife_id>.jpg``, the original ones by content and page id.

    Folders before the name (``./``) and the case of id and extension do not matter.
    """
    file = name.rpartition("/")[2]
    if stray := _unusable(name, file):
        return Claim(stray=stray)
    if match := _by_id(file):
        return Claim(bytes.fromhex(match[1].replace("-", "")))
    if match := _by_content(file):
        return Claim(None, int(match[1]), int(match[2]))
    return Claim(stray=NOT_AN_ID)


def mapped_folder(name: str) -> Claim:
    """The mapping names the files of iNat21 and BIOSCAN; only a name that no row has is looked at."""
    return Claim(stray=_unusable(name, name))


def raw_eol(name: str) -> Claim:
    """Members of original EOL archives."""
    file = name.rpartition("/")[2]
    if stray := _unusable(name, file):
        return Claim(stray=stray)
    if match := _by_content(file):
        content, page = int(match[1]), int(match[2])
        return Claim(raw_id("eol", str(content), str(page)), content, page)
    return Claim(stray=NEEDS_MAPPING if _by_id(file) else NOT_AN_ID)


def raw_folder(source: str, folder: str) -> Claimer:
    """Files of a class folder of iNat21, or of a part of BIOSCAN.

    Args:
        source: ``inat21`` or ``bioscan``.
        folder: the name of the folder as it stands in the ids.
    """

    def claim(name: str) -> Claim:
        stray = _unusable(name, name) or (None if _is_picture(name) else NOT_A_PICTURE)
        return Claim(stray=stray) if stray else Claim(raw_id(source, folder, name))

    return claim


def _unusable(name: str, file: str) -> str | None:
    if not is_stored(name):
        return NOT_STORED
    if file in (".DS_Store", "Thumbs.db", "desktop.ini") or file.startswith("._"):
        return SYSTEM_FILE
    return None

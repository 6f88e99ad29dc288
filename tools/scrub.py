"""Make the files of a Chroma store forget what was deleted from it.

Chroma's index writes its memory out as it is: the unused places in each row's list of neighbours
hold whatever the program had there before, such as names and facts of nights that are gone. SQLite
keeps deleted rows in free pages. Both are cleared here, while nobody has the store open.

The layout of the index files is that of Chroma's hnswlib, as its header states it: a row is its
list of neighbours (a 16-bit count, two bytes of marks, then places of 4 bytes), its vector and an
8-byte label; the upper levels follow in a file of their own, each row's after its length in bytes.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sleeplm.errors import StoreError

__all__ = ["scrub"]

BUSY_S = 30.0
_HEADER = struct.Struct("<i6QiI2Q")


@dataclass(frozen=True)
class _Layout:
    """Rows in the file, rows in use, and bytes of a row and its parts, as the header says."""

    rows: int
    count: int
    row_bytes: int
    list_bytes: int
    upper_places: int
    lowest_places: int

    @classmethod
    def read(cls, folder: Path) -> _Layout:
        content = (folder / "header.bin").read_bytes()
        if len(content) < _HEADER.size:
            raise _unknown(folder)
        (version, _, capacity, count, row_bytes, _, list_bytes, _, _, upper, lowest) = (
            _HEADER.unpack_from(content)
        )
        size = (folder / "data_level0.bin").stat().st_size
        # A new file has all rows that there is room for, one that grew those in use.
        is_known = (
            version == 1
            and list_bytes == 4 + 4 * lowest
            and row_bytes > 0
            and size % row_bytes == 0
            and count * row_bytes <= size <= capacity * row_bytes
        )
        if not is_known:
            raise _unknown(folder)
        return cls(size // row_bytes, count, row_bytes, list_bytes, upper, lowest)


def scrub(folder: Path) -> None:
    """Clear unused places of every index in the folder, and the database's free pages.

    Files of collections that were deleted go too.

    Raises
    ------
    StoreError
        An index has another layout than is known here, or somebody else holds the database.
    """
    try:
        database = sqlite3.connect(folder / "chroma.sqlite3", timeout=BUSY_S)
        database.execute("VACUUM")
        segments = {str(row[0]) for row in database.execute("SELECT id FROM segments")}
        database.close()
    except sqlite3.Error as error:
        raise StoreError(
            f"{folder}: the rows are changed, but the database could not be compacted "
            f"({error}); close what reads the store and try again"
        ) from error
    for header in list(folder.glob("*/header.bin")):
        if header.parent.name not in segments:
            # Chroma leaves the files of a deleted collection where they are.
            shutil.rmtree(header.parent)
            continue
        layout = _Layout.read(header.parent)
        _clear_lowest(header.parent, layout)
        _clear_upper(header.parent, layout)


def _clear_lowest(folder: Path, layout: _Layout) -> None:
    path = folder / "data_level0.bin"
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rows = content.reshape(layout.rows, layout.row_bytes)
    rows[layout.count :] = 0
    counts = rows[:, :2].copy().view("<u2")[:, 0]
    if layout.rows and counts.max() > layout.lowest_places:
        raise _unknown(folder)
    unused = np.arange(layout.lowest_places) >= counts[:, None]
    rows[:, 4 : layout.list_bytes][np.repeat(unused, 4, axis=1)] = 0
    path.write_bytes(content.tobytes())
    lengths = bytearray((folder / "length.bin").read_bytes())
    lengths[4 * layout.count :] = bytes(max(len(lengths) - 4 * layout.count, 0))
    (folder / "length.bin").write_bytes(bytes(lengths))


def _clear_upper(folder: Path, layout: _Layout) -> None:
    path = folder / "link_lists.bin"
    content = bytearray(path.read_bytes())
    level_bytes = 4 + 4 * layout.upper_places
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        at += 4
        if length % level_bytes or at + length > len(content):
            raise _unknown(folder)
        for start in range(at, at + length, level_bytes):
            count = int.from_bytes(content[start : start + 2], "little")
            if count > layout.upper_places:
                raise _unknown(folder)
            first = start + 4 + 4 * count
            content[first : start + level_bytes] = bytes(start + level_bytes - first)
        at += length
    path.write_bytes(bytes(content))


def _unknown(folder: Path) -> StoreError:
    return StoreError(
        f"{folder.parent}: the night's rows are gone, but the index has an unknown layout and may "
        "hold traces of them; delete the folder and index the other nights again"
    )

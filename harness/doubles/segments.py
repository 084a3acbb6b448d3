"""Numbered pieces of a file whose every byte tells where it belongs.

A payload starts with its number in plain text and goes on with bytes that depend on number *and*
position, so that a swapped segment, a missing one, one read twice and a shift by a single byte all
show. It does not know who fetches them.
"""

from __future__ import annotations

import hashlib

from harness.errors import misuse

INDEX_MAX = 999_999


def segment_id(index: int) -> str:
    """Return the id of segment `index`; ids sort as their numbers do.

    Args:
        index: from 0 to 999,999.

    Raises:
        HarnessError: out of range.
    """
    return f"segment-{_checked_index(index):06d}@fake"


def payload(index: int, size: int) -> bytes:
    """Return the first `size` bytes of segment `index`: `seg-000007`, then bytes of its own.

    Args:
        index: from 0 to 999,999.
        size: how many bytes; nothing at or below 0.

    Raises:
        HarnessError: `index` is out of range.
    """
    header = f"seg-{_checked_index(index):06d}".encode()
    if size <= len(header):
        return header[: max(0, size)]
    # An extendable digest: a shorter payload is a prefix of a longer one.
    return header + hashlib.shake_128(header, usedforsecurity=False).digest(size - len(header))


def file_bytes(count: int, size: int) -> bytes:
    """Return the whole file: segments 0 to `count` - 1 of `size` bytes each, one behind the other.

    Args:
        count: how many segments; nothing at or below 0.
        size: bytes of each.

    Raises:
        HarnessError: more than 1,000,000 segments.
    """
    return b"".join(payload(index, size) for index in range(count))


def _checked_index(index: int) -> int:
    if not 0 <= index <= INDEX_MAX:
        rule = f"must be from 0 to {INDEX_MAX}: six digits, so that ids sort as numbers."
        raise misuse("index", index, rule, "Use several files, each counted from 0.")
    return index

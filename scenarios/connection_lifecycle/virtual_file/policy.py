"""What a virtual file decides without touching a thread or a reader: pure functions and values."""

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

CLOSERS = 4
CLOSER_QUEUE = 4
CACHED_SEGMENTS = 8
DRAIN_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the segments of a file begin: `starts[i]` and `sizes[i]`, and the size of the file.

    The last segment may reach past the end of the file. A file that is not plain is encrypted or
    nested in another: its bytes are not those of its segments.
    """

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    size: int
    is_plain: bool = True

    @classmethod
    def of(
        cls, sizes: Sequence[int], *, file_size: int | None = None, is_plain: bool = True
    ) -> "Layout":
        """Return the layout of segments of these sizes; the file is as long as they are together.

        Args:
            sizes: usable bytes of each segment, as the index claims them.
            file_size: bytes of the file, if that is known better than by their sum.
            is_plain: whether the bytes of the file are those of the segments.
        """
        ends = list(accumulate(sizes))
        whole = ends[-1] if ends else 0
        starts = tuple(end - size for end, size in zip(ends, sizes, strict=True))
        return cls(tuple(sizes), starts, whole if file_size is None else file_size, is_plain)

    def segment_at(self, offset: int) -> int:
        """Return the index of the segment that holds `offset`, -1 outside of all."""
        index = bisect_right(self.starts, offset) - 1
        if index < 0 or offset >= self.starts[index] + self.sizes[index]:
            return -1
        return index

    def segment_of(self, offset: int, size: int) -> int:
        """Return the index of the one segment that holds all `size` bytes, -1 if none does."""
        index = self.segment_at(offset)
        return index if size > 0 and self.segment_at(offset + size - 1) == index else -1


def wanted(position: int, size: int, file_size: int) -> int:
    """Return how many of `size` bytes from `position` lie inside the file."""
    return max(0, min(size, file_size - position))


def is_inside(offset: int, file_size: int) -> bool:
    """Say whether a file may be positioned at `offset`; its very end is allowed."""
    return 0 <= offset <= file_size


def target(offset: int, whence: int, position: int, file_size: int) -> int:
    """Return the place that `seek(offset, whence)` means.

    Raises:
        ValueError: no such `whence`, or a place outside the file.
    """
    bases = {os.SEEK_SET: 0, os.SEEK_CUR: position, os.SEEK_END: file_size}
    if whence not in bases:
        message = f"whence={whence} must be 0, 1 or 2: from the start, from here, from the end"
        raise ValueError(message)
    place = bases[whence] + offset
    if not is_inside(place, file_size):
        message = f"offset={place} must lie within the {file_size} bytes of the file"
        raise ValueError(message)
    return place

"""What a virtual file decides without touching a thread or a reader: pure functions."""

CLOSERS = 4
CLOSER_QUEUE = 4


def wanted(position: int, size: int, file_size: int) -> int:
    """Return how many of `size` bytes from `position` lie inside the file."""
    return max(0, min(size, file_size - position))


def is_inside(offset: int, file_size: int) -> bool:
    """Say whether a file may be positioned at `offset`; its very end is allowed."""
    return 0 <= offset <= file_size

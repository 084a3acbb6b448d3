"""Makes threads ready to be started one by one. It starts none, so that the program itself does."""

from __future__ import annotations

import threading
from collections.abc import Callable


def threads(*targets: Callable[[], object]) -> tuple[threading.Thread, ...]:
    """Return one thread for each target, in order.

    A tuple, since going over it is no scheduling point.
    """
    return tuple(threading.Thread(target=target) for target in targets)

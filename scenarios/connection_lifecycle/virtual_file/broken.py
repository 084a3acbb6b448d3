"""Virtual files that are each wrong in one way.

Rows F…, of the component's table; a storm in `storms.py` catches each.
"""

import threading
import time
from typing import Any

from scenarios.connection_lifecycle.reader.reference import ClosedPipeError

from .reference import SharedReader, VirtualFile


class CloseWithoutInterrupt(VirtualFile):
    """F0d: closes without interrupting the read first, and unregisters before it has the lock.

    Bug: close waits its turn behind a read that waits for the slowest download.
    Seen in: altmount before its storm S9: a client that went away held its connections for 30 s.
    Caught by: disconnect_frees_the_connections, ten_disconnects_wait_for_nobody (Elapsed).
    """

    def close(self) -> None:
        """Unregister, then wait for the lock."""
        unregister, self._unregister = self._unregister, None
        if unregister is not None:
            unregister()
        super().close()

    def _interrupt_current(self) -> None:
        pass


class InterruptUnderLock(VirtualFile):
    """F17: interrupts the read only once it has the lock that the read holds.

    Bug: the order of two lines; close waits for the read that its next line would end.
    Seen in: gokeyless #186 of September 2017: close takes the lock of the read before it ends it.
    Caught by: disconnect_frees_the_connections, ten_disconnects_wait_for_nobody (Elapsed).
    """

    def _interrupt_current(self) -> None:
        with self._mu:
            super()._interrupt_current()


class InterruptWaits(VirtualFile):
    """F19: waits, in its interrupt, until the last download has ended.

    Bug: a download that does not hear the cancellation keeps close, and everybody behind it.
    Seen in: altmount 2417fa66 of December 2025, a stop() that joins before it lets go.
    Caught by: close_leaves_deaf_downloads_behind, disconnect_frees_the_connections (Elapsed).
    """

    def _interrupt(self, reader: SharedReader) -> None:
        super()._interrupt(reader)
        while getattr(reader, "in_flight", 0):
            time.sleep(0.100)


class DetachedNotInterrupted(VirtualFile):
    """F22: queues a reader that is no longer wanted without interrupting it.

    Bug: four slow closes keep all closers busy, and the readers behind them keep downloading.
    Seen in: altmount until commit e95707d6 of June 2026.
    Caught by: seeks_free_the_connections (Failed).
    """

    def _retire(self, reader: SharedReader) -> None:
        self._closers.offer(reader)


class FlagReadTooEarly(VirtualFile):
    """S9a: does not look at the closing flag again once its reader is installed.

    Bug: close finds the slot empty and interrupts nobody; then the read installs its reader, and
    close waits for a whole download.
    Seen in: altmount, whose own tests sleep 50 to 100 ms before they close, to dodge it.
    Caught by: close_meets_the_first_reads (Elapsed).
    """

    def _ensure_reader(self) -> SharedReader:
        if self._reader is None:
            self._install(self._open_reader(self._position))
        assert self._reader is not None
        return self._reader


class NoClosingFlag(VirtualFile):
    """S9b: refuses a read only once close has had the lock.

    Bug: a read that queues for the lock gets it before close does, and opens a reader that nobody
    interrupts.
    Seen in: altmount, where only a lucky order of the lock's waiters saves the close.
    Caught by: close_meets_the_first_reads (Elapsed).
    """

    def _check_open(self) -> None:
        if self._is_closed:
            message = "the file was closed"
            raise ClosedPipeError(message)


class Serialised(VirtualFile):
    """One lock round every public method.

    Bug: close waits its turn behind the very read that it should end.
    Seen in: ion-sfu #75 of August 2020: a read in progress keeps the router from closing.
    Caught by: disconnect_frees_the_connections, ten_disconnects_wait_for_nobody (Elapsed).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._turn = threading.Lock()

    def read(self, size: int) -> bytes:
        """Read in turn."""
        with self._turn:
            return super().read(size)

    def seek(self, offset: int) -> int:
        """Seek in turn."""
        with self._turn:
            return super().seek(offset)

    def close(self) -> None:
        """Close in turn."""
        with self._turn:
            super().close()

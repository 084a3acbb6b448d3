"""A client that hears no cancellation: what a download looks like that nobody can stop.

It knows how clients are called, not what they answer.
"""

from typing import Any

from .reader.reference import Client
from .scope import Scope


class Deaf:
    """A client whose calls cannot be cancelled; any thread."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def call(
        self,
        key: str = "",
        *,
        timeout: float | None = None,
        cancel: Scope | None = None,
        lane: str = "",
    ) -> Any:
        """Pass everything on but the cancellation."""
        return self._client.call(key, timeout=timeout, lane=lane)

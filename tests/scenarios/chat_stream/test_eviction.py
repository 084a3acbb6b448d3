"""A durable cache that claims too much: no subscriber can tell while the database is read, too."""

from harness.explore import Settings
from harness.scenario import Column, run_cell, scenario_of
from scenarios.chat_stream.subscription import storms as subscription_storms
from scenarios.chat_stream.subscription.broken import OverwritesEviction
from scenarios.chat_stream.subscription.merge import DurableCache
from scenarios.chat_stream.subscription.reference import ChatStream


class OverwritesOnly(ChatStream):
    """A stream whose cache claims too much, and which reads the database in any case."""

    def _new_cache(self) -> DurableCache:
        return OverwritesEviction(self._cache_size)


def test_a_cache_that_claims_too_much_is_harmless_where_the_database_is_always_read() -> None:
    """Why row M10 alone is caught in the cache only: no subscriber can tell."""
    storms = scenario_of(subscription_storms.evicted_messages_are_read)
    assert storms is not None

    cell = run_cell(storms, Column(OverwritesOnly), Settings(schedules=200))

    assert cell.verdict == "holds"

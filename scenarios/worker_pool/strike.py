"""A rule for some commands of a store, by where they are, whose they are and how they are called.

It looks at calls alone: a rule that names no kinds is asked at every lock and suspension as well.
It does not know what the commands are for.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harness import Pass, Site, Verdict


@dataclass(frozen=True, slots=True)
class Strike:
    """What strikes some commands, or messages, of a store.

    Args:
        verdict: what strikes.
        site: `store` before a command is applied, `store.reply` after, `store.message`.
        client: whose they are; empty for anybody's.
        keys: how they are called, such as `run admit`; none for all at that site.
        tell: called with the client of what it strikes.
        kinds: the kinds of site it looks at; a store has calls only.
    """

    verdict: Verdict
    site: str
    client: str = ""
    keys: tuple[str, ...] = ()
    tell: Callable[[str], None] | None = None
    kinds: frozenset[str] = frozenset({"call"})

    def __call__(self, site: Site) -> Verdict:
        """Return what happens at a site."""
        is_theirs = site.name == self.site and self.client in ("", site.lane)
        if not is_theirs or (self.keys and site.key not in self.keys):
            return Pass()
        if self.tell is not None:
            self.tell(site.lane)
        return self.verdict

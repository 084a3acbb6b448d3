"""A remote file whose every byte tells where it belongs: the oracle of the storms.

It knows the readers' vocabulary, not how they read.
"""

from dataclasses import dataclass

from harness import file_bytes, payload, segment_id

from .reader.policy import Article, Slice, slices


@dataclass(frozen=True, slots=True)
class Film:
    """A file of `count` articles, `size` bytes each."""

    count: int
    size: int

    @property
    def ids(self) -> list[str]:
        """The ids of the articles, in order."""
        return [segment_id(index) for index in range(self.count)]

    @property
    def content(self) -> bytes:
        """The whole file: what a correct reader returns."""
        return file_bytes(self.count, self.size)

    @property
    def bodies(self) -> dict[str, bytes]:
        """The bytes of each article by its id."""
        return {each: payload(index, self.size) for index, each in enumerate(self.ids)}

    def slices(self, start: int = 0, end: int | None = None) -> list[Slice]:
        """Return what a reader over the bytes `start` to `end`, both included, has to read."""
        return slices([Article(each, self.size) for each in self.ids], start, end)

    def slice_of(self, index: int) -> list[Slice]:
        """Return what a reader over the whole of one article has to read."""
        return [Slice(segment_id(index), 0, self.size - 1)]

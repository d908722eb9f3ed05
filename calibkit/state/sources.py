"""Which shards a state holds, by name and by what is in them, so that none is counted twice. Floor 3."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from calibkit.errors import DataError

_ALLOW = "If they are different rows after all, pass allow_duplicates=True."


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Source:
    """A shard whose rows a state holds.

    Attributes
    ----------
    name : str
        Path or URL; empty for rows that came without a name.
    n : int
        Its rows.
    digest : str
        SHA-256 of its settings and exact sums: the same for the same rows in any order, under any name.

    Examples
    --------
    >>> Source(digest="e3b0c44298fc1c14", n=1000, name="shard-0.npz").shown
    'shard-0.npz (1,000 rows)'
    """

    name: str = ""
    n: int
    digest: str

    @property
    def shown(self) -> str:
        """The source in an error."""
        return f"{self.name or 'rows without a name'} ({self.n:,} rows)"


class Shards:
    """The sources that a state holds, indexed: adding one of many costs no more than adding one of few.

    Examples
    --------
    >>> shards = Shards([Source(digest="e3b0c44298fc1c14", n=1000, name="shard-0.npz")])
    >>> shards.add(Shards([Source(digest="9a271f2a916b0b6e", n=500, name="shard-1.npz")]))
    >>> len(shards), shards.n
    (2, 1500)
    """

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._held: list[Source] = []
        self._by_name: dict[str, Source] = {}
        self._by_digest: dict[str, Source] = {}
        self.n = 0
        for source in sources:
            self._hold(source)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._held)

    def in_order(self) -> tuple[Source, ...]:
        """The sources in order of their names, however they came."""
        return tuple(sorted(self._held))

    def add(self, others: "Shards") -> None:
        """Hold these as well."""
        for source in list(others):
            self._hold(source)

    def refuse_twice(self, others: "Shards") -> None:
        """Raise if one of the others is held already: the same name, or another name of the same rows."""
        for source in others.in_order():
            if source.name and source.name in self._by_name:
                raise DataError(f"{source.shown} is given twice: its rows are in the state already. {_ALLOW}")
            if source.n and source.digest in self._by_digest:
                raise DataError(
                    f"{source.shown} and {self._by_digest[source.digest].shown} hold the same rows: all their sums are "
                    f"equal, to the last bit. {_ALLOW}"
                )

    def _hold(self, source: Source) -> None:
        self._held.append(source)
        self._by_name[source.name] = source
        self._by_digest[source.digest] = source
        self.n += source.n

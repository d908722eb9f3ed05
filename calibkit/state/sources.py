"""Which shards a state holds, by name and by what is in them, so that none is counted twice. Floor 3."""

from collections.abc import Sequence
from dataclasses import dataclass

from calibkit.errors import DataError

_ALLOW = "If they are different rows after all, merge with allow_duplicates=True."


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


def refuse_twice(held: Sequence[Source], added: Sequence[Source]) -> None:
    """Raise if a shard that is added is held already: the same name, or other names of the same rows."""
    names = {source.name: source for source in held if source.name}
    digests = {source.digest: source for source in held if source.n}
    for source in added:
        if source.name in names:
            raise DataError(f"{source.shown} is given twice: its rows are in the state already. {_ALLOW}")
        if source.n and source.digest in digests:
            raise DataError(
                f"{source.shown} and {digests[source.digest].shown} hold the same rows: all their sums are equal, to "
                f"the last bit. {_ALLOW}"
            )

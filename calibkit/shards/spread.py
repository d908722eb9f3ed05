"""Blocks of one file shared out to threads, which read in turn and work side by side. Floor 3."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock

from calibkit.errors import CalibkitError
from calibkit.files.source import tells_of_change
from calibkit.predictions import Predictions

Take = Callable[[Predictions], None]
Outcome = tuple[int, int, BaseException | None]  # of a block: its first row, how many it has, and its refusal


def spread(blocks: Generator[Predictions], takers: Sequence[Take]) -> Iterator[int]:
    """Give each block to one of the takers, each in a thread of its own; yield how many rows each had that was taken.

    The blocks themselves are let go, for whoever counts their rows may be slower than the takers. Which taker gets
    which block, and in which order they are done, depends on the machine's mood. If a taker refuses a block, no further
    one is read, and the refusal of the first such block is thrown into the generator of the blocks, which may know
    better what is wrong with its file.
    """
    reader, outcomes = _Reader(blocks), SimpleQueue[Outcome | None]()

    def work(take: Take) -> None:
        """Take blocks until there are none."""
        try:
            while (block := reader.next()) is not None:
                outcomes.put((block.first_row, len(block), reader.offer(block, take)))
        finally:
            outcomes.put(None)

    with ThreadPoolExecutor(len(takers), thread_name_prefix="calibkit-block") as pool:
        try:
            for take in takers:
                pool.submit(work, take)
            yield from _taken(outcomes, len(takers), reader)
        finally:
            reader.stop()
    reader.complain()


def _taken(outcomes: SimpleQueue[Outcome | None], working: int, reader: "_Reader") -> Iterator[int]:
    """Rows of the blocks that were taken, until no thread works any more."""
    while working:
        outcome = outcomes.get()
        if outcome is None:
            working -= 1
            continue
        first_row, n_rows, refusal = outcome
        if refusal is None:
            yield n_rows
        else:
            reader.refusals.append((first_row, refusal))


class _Reader:
    """The blocks of a file, read by whichever thread asks, one at a time."""

    def __init__(self, blocks: Generator[Predictions]) -> None:
        self.blocks, self.lock, self.ended = blocks, Lock(), False
        self.failure: BaseException | None = None
        self.refusals: list[tuple[int, BaseException]] = []

    def next(self) -> Predictions | None:
        """The next block; None after the last one, or once something went wrong."""
        with self.lock:
            block = None
            if not self.ended:
                try:
                    block = next(self.blocks, None)
                except BaseException as failure:
                    self.failure = failure
                if block is None:  # and never back to False: another thread may have stopped the reading meanwhile
                    self.ended = True
            return block

    def offer(self, block: Predictions, take: Take) -> BaseException | None:
        """Give a block to a taker; its refusal, or None."""
        try:
            take(block)
        except BaseException as refusal:
            self.stop()
            return refusal
        return None

    def stop(self) -> None:
        """Read no further."""
        self.ended = True

    def complain(self) -> None:
        """Raise what went wrong first; of a file that changed meanwhile, that."""
        if self.refusals and not tells_of_change(self.failure):
            _, refusal = min(self.refusals, key=lambda found: found[0])
            if isinstance(refusal, CalibkitError):
                self.blocks.throw(refusal)
            raise refusal
        if self.failure is not None:
            raise self.failure

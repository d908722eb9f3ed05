"""What a terminal shows while a network trains: a bar, and a line every so often. Annex: training."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from calibkit.training.history import Epoch

LINES = 10


def epoch_line(epoch: Epoch) -> str:
    """One line about an epoch: the loss that is minimised with its floor, then what is comparable between losses.

    Examples
    --------
    >>> epoch_line(Epoch(epoch=3, loss=0.7313, loss_floor=0.5003, train_nll=0.3124))
    'epoch 3: smoothed loss 0.7313 (floor 0.5003), NLL train 0.3124'
    """
    floor = f" (floor {epoch.loss_floor:.4f})" if epoch.loss_floor else ""
    loss = f"{'smoothed ' if floor else ''}loss {epoch.loss:.4f}{floor}"
    text = f"epoch {epoch.epoch}: {loss}, NLL train {epoch.train_nll:.4f}"
    if epoch.validation_nll is None:
        return text
    return f"{text}, validation {epoch.validation_nll:.4f}, accuracy {epoch.validation_accuracy:.4f}"


@contextmanager
def reporting(
    progress: bool | None,  # noqa: FBT001 - three-valued, and only fit calls it
    *,
    title: str,
    epochs: int,
    done: int = 0,
    stream: TextIO | None = None,
) -> Iterator[Callable[[Epoch], None]]:
    """Give a function to call after each epoch; silent unless standard error is a terminal or progress is True."""
    out = sys.stderr if stream is None else stream
    if not (out.isatty() if progress is None else progress):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=out, highlight=False, soft_wrap=True)
    console.print(title, markup=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("epochs", total=epochs, completed=done)

        def report(epoch: Epoch) -> None:
            """Move the bar on, and print about ten of the lines."""
            bar.advance(task)
            if epoch.epoch == done + 1 or epoch.epoch * LINES // epochs > (epoch.epoch - 1) * LINES // epochs:
                console.print(epoch_line(epoch), markup=False)

        yield report

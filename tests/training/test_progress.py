"""Progress goes to a terminal, or where it is asked for, and nowhere else."""

import io

from calibkit.training import Epoch
from calibkit.training.progress import epoch_line, reporting


def records(epochs):
    return [
        Epoch(epoch=i, loss=0.6, loss_floor=0.5003, train_nll=0.2, validation_nll=0.31, validation_accuracy=0.93)
        for i in range(1, epochs + 1)
    ]


def shown(epochs, progress, stream):
    with reporting(progress, title="Training on cpu [bold]", epochs=epochs, stream=stream) as report:
        for record in records(epochs):
            report(record)
    return stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_names_the_losses():
    assert epoch_line(records(1)[0]) == (
        "epoch 1: smoothed loss 0.6000 (floor 0.5003), NLL train 0.2000, validation 0.3100, accuracy 0.9300"
    )
    assert epoch_line(Epoch(epoch=2, loss=0.2, loss_floor=0.0, train_nll=0.2)) == (
        "epoch 2: loss 0.2000, NLL train 0.2000"
    )


def test_silent_unless_a_terminal():
    assert shown(3, None, io.StringIO()) == ""
    assert shown(3, False, Terminal()) == ""
    assert "epoch 3" in shown(3, None, Terminal())


def test_about_ten_lines_are_kept_with_the_first_and_the_last():
    lines = shown(37, True, io.StringIO()).splitlines()
    assert lines[0] == "Training on cpu [bold]"
    epochs = [line for line in lines[1:] if line]  # older versions of rich end with an empty line
    numbers = [int(line.split(":")[0].removeprefix("epoch ")) for line in epochs]
    assert numbers[0] == 1
    assert numbers[-1] == 37
    assert 10 <= len(numbers) <= 11
    assert len(shown(4, True, io.StringIO()).split("\nepoch ")) == 5

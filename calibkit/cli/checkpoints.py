"""Files on the command line that hold a network, not predictions: run folders, and weights with --model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from calibkit.cli.options import OF_ROWS, is_folder, load_rows

if TYPE_CHECKING:
    from calibkit.predictions import Predictions

WEIGHTS = (".safetensors", ".pt", ".pth")

NETWORK = (
    click.option(
        "--data",
        metavar="ROWS",
        help="Rows for networks: package.module:loader, an .npz file with x and y, or digits.",
    ),
    click.option("--divide-by", type=float, metavar="NUMBER", help="Divide x of an .npz file by this, e.g. 255."),
    click.option("--batch-size", type=int, metavar="INT", help="Rows of an .npz file at a time.  [default: 256]"),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:0, mps."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What networks among the files need: who makes them, and the rows they are asked about."""

    model: tuple[str, ...]
    data: str | None
    divide_by: float | None
    batch_size: int | None
    device: str

    def is_network(self, path: str) -> bool:
        """Whether a file holds a network: a folder; weights if --model makes something to put them into."""
        return is_folder(path) or (bool(self.model) and Path(path).suffix.lower() in WEIGHTS)

    def factory_of(self, name: str, files: Mapping[str, str]) -> str | None:
        """The factory for a file of weights: the one, or one each in their order; None for a run folder."""
        weights = [other for other, path in files.items() if self.is_network(path) and not is_folder(path)]
        if name not in weights:
            return None
        if len(self.model) not in (1, len(weights)):
            raise click.UsageError(
                f"{len(weights)} files of weights need one --model, or one each in their order; got {len(self.model)}"
            )
        return self.model[weights.index(name)] if len(self.model) > 1 else self.model[0]

    def check(self, files: Sequence[str], reading: Mapping[str, Any]) -> None:
        """Refuse what would not be used."""
        networks = [path for path in files if self.is_network(path)]
        if self.model and all(is_folder(path) for path in networks):
            raise click.UsageError("--model is given, but no FILE holds weights (.safetensors, .pt, .pth)")
        if not networks and self.data is not None:
            raise click.UsageError("--data is for networks; these files hold predictions. Weights need --model too")
        of_files = [name for name in reading if name not in OF_ROWS]
        if len(networks) == len(files) and of_files:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in of_files)
            raise click.UsageError(f"{flags}: for reading files of predictions, but every FILE holds a network")
        if self.data is None:
            if self.divide_by is not None or self.batch_size is not None:
                raise click.UsageError("--divide-by and --batch-size are for the rows of --data, which is not given")
            weights = next((path for path in networks if not is_folder(path)), None)
            if weights is not None:
                raise click.UsageError(f"{weights} holds weights: give the rows to predict with --data")


def part_of_run(folder: str, part: str) -> str:
    """The predictions file of a run folder, which must be complete."""
    from calibkit.errors import InputFormatError
    from calibkit.files.contents import shown

    if not (Path(folder) / "run.json").is_file():
        raise InputFormatError(
            f"{shown(folder)}: is a folder without run.json, which calibkit train writes last. Give a complete run "
            "folder, a file of predictions, or weights with --model."
        )
    return str(Path(folder) / f"{part}.npz")


def load_models(files: Mapping[str, str], networks: Networks, reading: dict[str, Any]) -> "dict[str, Predictions]":
    """Predictions of each file by name: read, or made by its network, or a run folder's own for its test rows."""
    loaded = {}
    for name, path in files.items():
        if not networks.is_network(path):
            loaded[name] = _read(path, name, reading)
        elif networks.data is None:
            loaded[name] = load_rows(part_of_run(path, "test"), name, {})
        else:
            loaded[name] = _predicted(path, name, networks, files, reading, data=networks.data, split="test")
    return _on_same_inputs(loaded, networks)


def load_calibration(
    files: Mapping[str, str], networks: Networks, reading: dict[str, Any], calibrate_on: Sequence[str]
) -> "dict[str, Predictions] | None":
    """Calibration rows of each file by name; those of run folders alone are their own, and None if there are none."""
    if not calibrate_on:
        if networks.data is not None or not all(is_folder(path) for path in files.values()):
            return None
        held = {name: load_rows(part_of_run(path, "val"), name, {}) for name, path in files.items()}
        click.echo("temperatures are fitted on the val.npz of each run folder", err=True)
        return held
    if networks.data is not None and len(calibrate_on) == 1:
        calibrate_on = [*calibrate_on] * len(files)
    if len(calibrate_on) != len(files):
        raise click.UsageError(
            f"{len(files)} files need {len(files)} --calibrate-on, one each in their order; got {len(calibrate_on)}"
        )
    loaded = {}
    for (name, path), rows in zip(files.items(), calibrate_on, strict=True):
        if networks.data is not None and networks.is_network(path):
            loaded[name] = _predicted(path, name, networks, files, reading, data=rows, split="val")
        else:
            loaded[name] = load_rows(rows, name, reading)
    return _on_same_inputs(loaded, networks)


def _read(path: str, name: str, reading: dict[str, Any]) -> "Predictions":
    """Read a predictions file; what may hold weights instead says how they are compared."""
    from calibkit.errors import InputFormatError

    try:
        return load_rows(path, name, reading)
    except InputFormatError as error:
        if Path(path).suffix.lower() not in WEIGHTS:
            raise
        hint = "If these are weights, give --model package.module:factory and --data."
        raise type(error)(f"{str(error).rstrip('.')}. {hint}") from error


def _predicted(
    path: str,
    name: str,
    networks: Networks,
    files: Mapping[str, str],
    reading: Mapping[str, Any],
    *,
    data: str,
    split: Literal["test", "val"],
) -> "Predictions":
    """Predictions of one network; of a run's own data, those of the rows that did not train it."""
    from calibkit.training import predict_checkpoint

    factory = networks.factory_of(name, files)
    predictions = predict_checkpoint(
        path,
        model=factory,
        data=data,
        divide_by=None if factory is None and networks.model else networks.divide_by,  # runs scale as they were trained
        batch_size=networks.batch_size,
        split=split,
        device=networks.device,
        name=name,
        **{key: reading[key] for key in OF_ROWS if key in reading},
    )
    say_part(predictions)
    return predictions


def say_part(predictions: "Predictions") -> None:
    """Say on standard error if only some rows of the data were predicted."""
    told = predictions.provenance
    if told["part"] is not None:
        rows = f"{len(predictions):,} {told['part']} rows"
        click.echo(f"{predictions.name} was trained on rows of {told['data']}: only its {rows} are predicted", err=True)


def _on_same_inputs(loaded: "dict[str, Predictions]", networks: Networks) -> "dict[str, Predictions]":
    """The same, once it is known that one loader gave all networks the same rows."""
    if networks.data is not None:
        from calibkit.training.checkpoint_predictions import check_same_inputs

        check_same_inputs(loaded)
    return loaded

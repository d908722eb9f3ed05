"""``calibkit plot FILE... -o reliability.png``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from calibkit.cli.options import (
    JUDGING,
    READING,
    check_one,
    check_paths,
    load_rows,
    model_names,
    naming_files,
    split_options,
    with_options,
)
from calibkit.cli.progress import ProgressLine
from calibkit.cli.together import name_together

if TYPE_CHECKING:
    from calibkit.corp import CorpCurve
    from calibkit.evaluation import Evaluation
    from calibkit.predictions import Predictions
    from calibkit.state import CalibrationState

# What a state was made with: its rows are gone.
OF_STATES = ("view", "n_bins", "binning", "edges")


@click.command("plot", short_help="Reliability diagrams of saved predictions and states.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", required=True, metavar="FILE", help="Picture to write: .png, .svg or .pdf.")
@click.option("--overlay", is_flag=True, help="Draw all models into one diagram instead of side by side.")
@click.option("--together", is_flag=True, help="FILEs are parts of one test set: one diagram of all their rows.")
@click.option("--allow-duplicates", is_flag=True, help="Allow that FILEs of --together hold the same rows.")
@click.option(
    "--corp",
    is_flag=True,
    help="Draw the curve without bins (CORP), and the band of calibrated models unless rows are grouped.",
)
@click.option(
    "--band",
    type=click.Choice(["consistency", "confidence"]),
    help="Draw the curve without bins with a band: where curves of calibrated models lie (consistency, as --corp), or "
    "where the true curve is (confidence).",
)
@with_options(JUDGING)
@with_options(READING)
@click.pass_context
def plot_command(
    context: click.Context,
    /,
    files: tuple[str, ...],
    output: str,
    overlay: bool,
    together: bool,
    allow_duplicates: bool,
    corp: bool,
    band: str | None,
    **options: Any,
) -> None:
    """Reliability diagrams with per-bin intervals and the confidence histogram, side by side or overlaid.

    FILE is a file of predictions, as for calibkit evaluate, or a state (.ckst) that calibkit evaluate --save-state
    left, which is drawn in the view and the bins that it was made with.

    Each FILE is a model of its own, unless --together says that they are parts of one test set. Then it may also be a
    pattern in quotes, such as 'shards/*.parquet'.
    """
    from calibkit.plots import reliability_figure, save_figure
    from calibkit.plots.words import refuse_classwise
    from calibkit.render import sanitise

    reading, judging = split_options(options)
    if allow_duplicates and not together:
        raise click.UsageError("--allow-duplicates is for --together")
    check_paths(files, output, reading)
    refuse_classwise(judging["view"])
    _refuse_rows_of_states(files, corp=corp or band is not None, together=together, reading=reading)
    asked = {name: judging[name] for name in OF_STATES if _is_given(context, name)}
    curves: list[CorpCurve] | None = None
    if together:
        results = [_of_all(files, reading, judging, asked, allow_duplicates=allow_duplicates)]
    else:
        names = model_names(files)
        with naming_files(dict(zip(names, files, strict=True))):
            models = [_read(path, name, reading, asked) for name, path in zip(names, files, strict=True)]
            results = [_evaluate(model, name, judging) for name, model in zip(names, models, strict=True)]
            curves = [_curve(model, judging, band) for model in models] if corp or band else None
    save_figure(reliability_figure(results, overlay=overlay, corp=curves), output)
    click.echo(f"wrote {sanitise(output)}")


def _is_given(context: click.Context, option: str) -> bool:
    """Whether an option is on the command line, rather than at its default."""
    return context.get_parameter_source(option) is not ParameterSource.DEFAULT


def _is_state(path: str) -> bool:
    """Whether a file is a saved state, by its name."""
    from calibkit.files.urls import place_of

    return Path(place_of(path)).suffix.lower() == ".ckst"


def _refuse_rows_of_states(files: Sequence[str], *, corp: bool, together: bool, reading: Mapping[str, Any]) -> None:
    """Refuse what is asked of rows where sums alone are left of them."""
    from calibkit.files.contents import shown
    from calibkit.files.urls import without_secrets

    states = [shown(without_secrets(path)) for path in files if _is_state(path)]
    if corp and (states or together):
        of_whom = f"{states[0]} is" if states else "the FILEs of --together become"
        raise click.UsageError(
            f"--corp and --band need rows, and {of_whom} a state, which holds sums over them: leave the flag "
            "out, or plot each file of predictions by itself"
        )
    if reading and len(states) == len(files):
        option = next(iter(reading)).replace("_", "-")
        raise click.UsageError(f"--{option} is for reading predictions, and {states[0]} is a state: leave it out")


def _read(path: str, name: str, reading: dict[str, Any], asked: Mapping[str, Any]) -> "Predictions | CalibrationState":
    """What one file holds."""
    check_one(path)
    return _state(path, asked) if _is_state(path) else load_rows(path, name, reading)


def _evaluate(model: "Predictions | CalibrationState", name: str, judging: dict[str, Any]) -> "Evaluation":
    """The evaluation of what one file holds."""
    from calibkit.evaluation import evaluate_predictions
    from calibkit.predictions import Predictions

    if isinstance(model, Predictions):
        return evaluate_predictions(model, **judging)
    return model.evaluation(name=name, confidence_level=judging["confidence_level"], rng=judging["rng"])


def _curve(model: "Predictions | CalibrationState", judging: Mapping[str, Any], band: str | None) -> "CorpCurve":
    """The curve without bins, with its band."""
    from calibkit.corp import curve_of_predictions
    from calibkit.predictions import Predictions

    assert isinstance(model, Predictions)  # a state was refused
    drawn: dict[str, Any] = {"view": judging["view"], "rng": judging["rng"], "level": judging["confidence_level"]}
    return curve_of_predictions(model, **drawn | ({"band": band} if band else {}))


def _of_all(
    paths: Sequence[str],
    reading: dict[str, Any],
    judging: dict[str, Any],
    asked: Mapping[str, Any],
    *,
    allow_duplicates: bool,
) -> "Evaluation":
    """The one evaluation of several files, of predictions or of states, from the state of all."""
    from calibkit.files import expand
    from calibkit.shards import state_of_files
    from calibkit.shards.merging import merge_named
    from calibkit.state import CalibrationState

    files = expand(paths, allow_duplicates=allow_duplicates)
    states = [(path, _state(path, asked)) for path in files if _is_state(path)]
    # Where states are among them, their bins are those of all.
    settings = {name: getattr(states[0][1].settings, name) if states else judging[name] for name in OF_STATES}
    total, parts = CalibrationState(**settings), [path for path in files if not _is_state(path)]
    work = {"threads": judging["threads"], "allow_duplicates": allow_duplicates}
    if parts:
        with ProgressLine() as line:
            state_of_files(parts, into=total, progress=line.show, **work, **reading)
    for path, state in states:
        merge_named(total, state, path, allow_duplicates=allow_duplicates)
    return _evaluate(total, name_together(total, files), judging)


def _state(path: str, asked: Mapping[str, Any]) -> "CalibrationState":
    """A saved state, which must have rows, one diagram, and the bins that are asked for."""
    from calibkit.errors import DataError, OptionError
    from calibkit.files.contents import shown
    from calibkit.files.urls import without_secrets
    from calibkit.state import CalibrationState

    state, where = CalibrationState.load(path), shown(without_secrets(path))
    if state.n == 0:
        raise DataError(f"{where}: the state holds no rows; give one with at least one.")
    for name, value in asked.items():
        own = getattr(state.settings, name)
        if own != value:
            raise OptionError(
                f"{where}: was made with {name}={own!r}, and its rows are gone: leave out {name}={value!r}, or "
                "evaluate the predictions with it and save another state."
            )
    if state.settings.view == "classwise":
        raise OptionError(
            f'{where}: was made with view="classwise", which has a diagram for each class, not one for all: evaluate '
            'the predictions with view="flattened" or view="top-label" and save another state.'
        )
    return state

"""A study from nothing to its page: runs, table, figures, claims. Annex: training."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from calibkit._checks import check_int
from calibkit.errors import OptionError, OutputError
from calibkit.files.atomic import write_text
from calibkit.files.source import AnyPath
from calibkit.plots import save_figure
from calibkit.scores import thread_count
from calibkit.training.data import Dataset
from calibkit.training.devices import resolve_device
from calibkit.training.study.cells import Shared
from calibkit.training.study.cost import measured_cost
from calibkit.training.study.figure import study_figure
from calibkit.training.study.folder import SETTINGS, is_finished, open_study, rows_of, tasks_of
from calibkit.training.study.grid import (
    NOISES,
    all_cells,
    check_classes,
    check_noises,
    check_seeds,
    class_pairs,
    smoothings_of,
)
from calibkit.training.study.lines import Evidence
from calibkit.training.study.one_run import CLEAN
from calibkit.training.study.page import study_page, summary
from calibkit.training.study.problem import load_once
from calibkit.training.study.running import run_all
from calibkit.training.study.table import Table, check_table, write_table

SEEDS = 10
HIDDEN = (128, 128)
EPOCHS = 100
BATCH_SIZE = 64
LEARNING_RATE = 2e-3
TRAIN_ROWS = 2000
PAGE = "what-smoothing-does.md"
TABLE = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What `run_study` leaves.

    Attributes
    ----------
    folder : pathlib.Path
        Of the runs; the same command with the same folder does only what is missing.
    table : pathlib.Path
        Every run, as CSV or Parquet.
    page : pathlib.Path
        The claims with their evidence, as Markdown.
    figures : tuple of pathlib.Path
        One a data set.
    n_runs : int
        How many runs there are.
    summary : tuple of str
        One line a claim and data set: its verdict, and what is claimed.
    """

    folder: Path
    table: Path
    page: Path
    figures: tuple[Path, ...]
    n_runs: int
    summary: tuple[str, ...]


def run_study(
    out: str | os.PathLike[str],
    *,
    data: Sequence[AnyPath] = ("digits",),
    seeds: int = SEEDS,
    smoothings: Sequence[float] = (),
    noises: Sequence[float] = NOISES,
    epochs: int = EPOCHS,
    hidden: Sequence[int] = HIDDEN,
    train_rows: int = TRAIN_ROWS,
    device: str = "cpu",
    jobs: int | None = None,
    table: Table = "csv",
    page: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Study:
    """Measure on data of yours what is said about label smoothing: many short runs, a table, a page of verdicts.

    Runs differ in smoothing, seed, label noise, loss, number of classes, network and regularisation; those of one
    seed share all else. A run that is finished is not done again: the same command goes on where it was stopped.

    Parameters
    ----------
    out : path-like
        Folder of the runs: new, empty, or of an earlier study.
    data : sequence of "digits" or path-like, default ("digits",)
        Data sets, as `train_run` takes them.
    seeds : int, default 10
        How many, from 0 on; intervals need 2, and are wide below 5.
    smoothings : sequence of float, optional
        More shares in [0, 1), beside 0, 0.02, 0.05, 0.1, 0.2 and 0.4.
    noises : sequence of float, default (0, 0.2, 0.4)
        Fractions of labels that are flipped; 0 is always among them.
    epochs, hidden
        Length of training, and widths of the full network's hidden layers.
    train_rows : int, default 2000
        Most rows to train on; a third of the rows if that is fewer.
    device : str, default "cpu"
        Where it trains; such small networks gain nothing elsewhere.
    jobs : int, optional
        Runs at a time, each in a process of its own with one thread; by default CALIBKIT_THREADS or all cores.
    table : {"csv", "parquet"}, default "csv"
        Format of the table of runs.
    page : path-like, optional
        The page, which ends in .md; its figures go into ``images`` beside it. By default in the folder.
    progress : bool, optional
        Whether to report to standard error; by default only if that is a terminal.

    Returns
    -------
    Study
        Where everything is.

    Raises
    ------
    OptionError
        If an option is out of range, or the folder's runs were made with other settings: the first is named.
    InputFormatError, ShapeError, LabelError, DataError
        If data cannot be used: one class, labels that are text, or fewer than 30 rows.
    OutputError
        If the folder holds something else, or a file cannot be written.
    LimitError
        If a process was stopped from outside.

    Notes
    -----
    Effects are means over seeds of paired differences with t intervals. A seed is a new split of the same rows: the
    interval says what repeating would give on these data, not on others.

    Processes are spawned: a script that calls this with more than one job does so under ``if __name__ == "__main__":``.

    References
    ----------
    Nadeau, Bengio (2003), Inference for the generalization error, section 3 (splits that share rows).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     study = run_study(home, seeds=2, epochs=1, hidden=(4,), noises=(), jobs=1)
    ...     study.n_runs, study.table.name, study.summary[0][:10]
    (64, 'runs.csv', 'digits (1)')
    """
    plan = _Plan(
        seeds=check_seeds(seeds),
        smoothings=smoothings_of(smoothings),
        noises=check_noises(noises),
        shared=Shared(
            epochs=epochs,
            hidden=tuple(hidden),
            batch_size=BATCH_SIZE,
            lr=LEARNING_RATE,
            train_rows=train_rows,
            device=str(resolve_device(device)),
        ),
        jobs=thread_count(None if jobs is None else check_int(jobs, option="jobs", low=1)),
        progress=progress,
    )
    check_table(table)
    home, target = Path(out), _page_path(Path(out) / PAGE if page is None else Path(page))
    datasets = _load(data)
    _refuse_other_folder(home, [*datasets])
    studies = [_study(home / name, path, dataset, plan) for name, (path, dataset) in datasets.items()]
    return _write(home, target, studies, table=table, command=_command(plan, datasets, smoothings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What was asked for, checked."""

    seeds: int
    smoothings: tuple[float, ...]
    noises: tuple[float, ...]
    shared: Shared
    jobs: int
    progress: bool | None


def _study(folder: Path, path: AnyPath, dataset: Dataset, plan: _Plan) -> Evidence:
    """Do what is missing of one data set's runs, and give them all."""
    pairs = class_pairs(dataset)
    cells = all_cells(seeds=plan.seeds, smoothings=plan.smoothings, noises=plan.noises, pairs=pairs)
    opened = open_study(folder, dataset, plan.shared)
    tasks = tasks_of(opened, path, plan.shared, cells, data_sha256=dataset.sha256)
    missing = [task for task in tasks if not is_finished(task)]
    run_all(missing, jobs=plan.jobs, progress=plan.progress, title=dataset.name)
    return Evidence(
        data=dataset.name,
        n_rows=len(dataset.labels),
        n_classes=dataset.n_classes,
        rows=rows_of(tasks, dataset.name),
        smoothings=plan.smoothings,
        noises=plan.noises,
        pairs=pairs,
        shared=asdict(plan.shared),
        cost=measured_cost(folder, path, plan.shared),
    )


def _page_path(page: Path) -> Path:
    """Return a path of a page: figures stand beside it under its name."""
    if page.suffix.lower() != ".md":
        raise OptionError(f"page={str(page)!r}: the page is Markdown; end its name in .md.")
    return page


def _load(data: Sequence[AnyPath]) -> dict[str, tuple[AnyPath, Dataset]]:
    """Every data set by the name of its folder, checked before anything is run."""
    if isinstance(data, str | bytes | os.PathLike):
        data = (data,)
    found: dict[str, tuple[AnyPath, Dataset]] = {}
    for path in data:
        dataset = load_once(path)
        check_classes(dataset)
        name = Path(dataset.name).stem
        if name in found:
            raise OptionError(f"data={os.fsdecode(path)!r}: {name} is there twice; give each file a name of its own.")
        found[name] = (path, dataset)
    if not found:
        raise OptionError("data=(): expected at least one data set.")
    return found


def _refuse_other_folder(home: Path, names: Sequence[str]) -> None:
    """Make the folder, or raise if it holds something else than a study."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        held = [entry.name for entry in home.iterdir()]
    except (OSError, ValueError) as error:
        raise OutputError(f"{home}: cannot be made: {getattr(error, 'strerror', None) or error}") from error
    if held and not any((home / name / SETTINGS).exists() for name in (*names, *held)):
        raise OutputError(f"{home}: is not empty and holds no study; choose another folder.")


def _write(home: Path, page: Path, studies: Sequence[Evidence], *, table: Table, command: str) -> Study:
    """Table, figures and, when they are there, the page."""
    rows = [dict(row) for evidence in studies for row in evidence.rows]
    written = write_table(rows, home / TABLE, table=table)
    images = page.parent / "images"
    try:
        images.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{images}: cannot be made: {error.strerror or error}") from error
    figures = []
    for evidence in studies:
        figures.append(images / f"{page.stem}-{Path(evidence.data).stem}.png")
        save_figure(study_figure(evidence), figures[-1])
    links = [f"images/{quote(figure.name)}" for figure in figures]
    write_text(page, study_page(studies, links, command=command))
    return Study(
        folder=home,
        table=written,
        page=page,
        figures=tuple(figures),
        n_runs=sum(row["labels"] == CLEAN for row in rows),
        summary=tuple(f"{evidence.data} {words}" for evidence in studies for words in summary(evidence)),
    )


def _command(plan: _Plan, datasets: dict[str, tuple[AnyPath, Dataset]], smoothings: Sequence[float]) -> str:
    """The command that makes the page, with what differs from the defaults."""
    words = ["calibkit", "study"]
    words += [word for _, dataset in datasets.values() for word in ("--data", dataset.name)]
    given: dict[str, object] = {"--seeds": plan.seeds}
    shared = plan.shared
    if shared.epochs != EPOCHS:
        given["--epochs"] = shared.epochs
    if shared.hidden != HIDDEN:
        given["--hidden"] = ",".join(map(str, shared.hidden))
    if shared.train_rows != TRAIN_ROWS:
        given["--train-rows"] = shared.train_rows
    words += [word for e in smoothings for word in ("--smoothing", f"{e:g}")]
    if plan.noises != NOISES:
        words += [word for noise in plan.noises for word in ("--noise", f"{noise:g}")]
    words += [str(word) for option in given.items() for word in option]
    return shlex.join([*words, "--out", "study", "--page", PAGE])

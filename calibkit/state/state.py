"""CalibrationState: what an evaluation needs of any number of rows, in constant memory, mergeable. Floor 3."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from calibkit._checks import check_choice, check_int, quoted
from calibkit._intake.notes import summed_notes
from calibkit.binning import Binning
from calibkit.errors import DataError, InputFormatError, OptionError
from calibkit.evaluation import Evaluation
from calibkit.evidence import About
from calibkit.files.source import AnyPath
from calibkit.one_pass import Rng, Which, check_predictions, make_settings
from calibkit.predictions import Predictions
from calibkit.state.file import digest_of, read_state, write_state
from calibkit.state.judging import evaluation_of
from calibkit.state.rows import check_rows, steps_of, take_rows
from calibkit.state.settings import StateSettings
from calibkit.state.sources import Shards, Source
from calibkit.tally import Facts, Tally
from calibkit.views import VIEWS, View


class CalibrationState:
    """What an evaluation needs of any number of rows: exact sums, in constant memory, that add up in any order.

    A state is updated with predictions, block after block; states of parts are merged; `evaluation` gives what
    `evaluate` gives. Counts are integers, and every score is rounded once to a multiple of 2^-96 and added as an
    integer: the sums have the same bits for every size of the blocks, order of the rows, split into shards, and number
    of threads (docs/scale.md).

    Parameters
    ----------
    n_classes : int, optional
        Number of classes; by default that of the first predictions.
    view : {"top-label", "positive", "classwise", "flattened"}, optional
        Which binary question calibration is measured for; by default "positive" for 1-D input, else "top-label".
    n_bins : int, default 15
        Number of bins (Guo et al. 2017).
    binning : {"uniform", "quantile"}, default "uniform"
        Bins of equal width, or of equal count: those are put together from cells of forecasts, and
        ``settings["error_bounds"]`` of an evaluation says how far their errors can be from those of the rows.
    edges : {"right", "left"}, default "right"
        Which end of a bin is closed; 0 and 1 are always inside.

    Raises
    ------
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    A state takes about 1.5 megabytes, whatever the number of rows, and 8 bytes a class; in view classwise 56 bytes for
    each bin of each class. In the views classwise and flattened it keeps a sample of rows, in 0.15 and 0.3 megabytes,
    from which the chance level of ECE is drawn (docs/scale.md). All rows of a state are of one
    kind (logits, probs, ...), of the same classes or all ragged, and all with weights or all without. Rows with groups
    are refused: intervals of dependent rows need whole groups in one place.

    Examples
    --------
    >>> import calibkit as ck
    >>> first = ck.Predictions.from_probs([0, 1], [[0.7, 0.3], [0.4, 0.6]])
    >>> second = ck.Predictions.from_probs([1], [[0.8, 0.2]])
    >>> state, other = ck.CalibrationState(), ck.CalibrationState()
    >>> state.update(first)
    >>> other.update(second)
    >>> round((state + other).evaluation()["accuracy"].value, 4)
    0.6667
    """

    def __init__(
        self,
        *,
        n_classes: int | None = None,
        view: View | None = None,
        n_bins: int = 15,
        binning: Literal["uniform", "quantile"] = "uniform",
        edges: Literal["right", "left"] = "right",
    ) -> None:
        bins = Binning(n_bins=n_bins, strategy=binning, edges=edges)
        k = None if n_classes is None else check_int(n_classes, option="n_classes", low=2)
        if view is not None:
            check_choice(view, VIEWS, option="view")
        if bins.strategy == "quantile" and view in ("classwise", "flattened"):
            raise OptionError(f'binning="quantile": a state of view {view} holds bins of equal width alone.')
        self._settings = StateSettings(
            n_bins=bins.n_bins, binning=bins.strategy, edges=bins.edges, view=view, n_classes=k
        )
        self._tally: Tally | None = None
        self._notes: tuple[str, ...] = ()
        self._shards = Shards()

    @classmethod
    def of(cls, settings: StateSettings, tally: Tally | None, *, notes: tuple[str, ...] = ()) -> "CalibrationState":
        """A state of sums that were made elsewhere.

        Parameters
        ----------
        settings : StateSettings
            What their rows have in common.
        tally : Tally or None
            The sums, in the layout of ``settings.empty_tally()``; None before the first rows.
        notes : tuple of str
            What the constructors of the predictions said.

        Examples
        --------
        >>> settings = CalibrationState().settings
        >>> CalibrationState.of(settings, settings.empty_tally()) == CalibrationState()
        True
        """
        return _state(settings, tally, notes, ())

    @property
    def n(self) -> int:
        """Rows."""
        return 0 if self._tally is None else self._tally.facts.n

    @property
    def settings(self) -> StateSettings:
        """What the rows have in common."""
        return self._settings

    @property
    def sources(self) -> tuple[Source, ...]:
        """The shards that it holds, in order of their names."""
        return self._shards.in_order()

    @property
    def tally(self) -> Tally | None:
        """The sums; None before the first rows."""
        return self._tally

    @property
    def notes(self) -> tuple[str, ...]:
        """What the constructors of the predictions said, their counts added up."""
        return self._notes

    @property
    def digest(self) -> str:
        """SHA-256 of settings and sums: equal if and only if these are, to the last bit."""
        return digest_of(self._settings, self._tally)

    @np.errstate(under="ignore", over="ignore")  # what is too small for a sum is 0, what is too large is counted
    def update(self, predictions: Predictions, *, threads: int | None = None) -> None:
        """Add rows. If they are refused, the state stays as it was.

        Parameters
        ----------
        predictions : Predictions
            More rows of the same kind.
        threads : int, optional
            Threads of the pass; by default CALIBKIT_THREADS or all cores. The result does not depend on it.

        Raises
        ------
        DataError
            If the values are not what they were said to be, the rows are not of the state's kind, or have groups.
        InputFormatError
            If `predictions` is something else.

        Examples
        --------
        >>> state = CalibrationState()
        >>> state.update(Predictions.from_correct([True, False], [0.8, 0.6]))
        >>> state.n
        2
        """
        check_predictions(predictions)
        check_rows(predictions)
        settings = self._settings.of(predictions)
        steps = list(steps_of(predictions))
        # A step that fails must not leave a part of the rows behind: only a single step adds in place.
        tally = self._tally if len(steps) == 1 else None
        tally = settings.empty_tally() if tally is None else tally
        assert tally is not None
        for part in steps:
            take_rows(tally, part, settings, threads=threads)
        if self._tally is None or tally is self._tally:
            self._tally = tally
        else:
            self._tally = self._tally + tally
        self._settings = settings
        self._notes = summed_notes((*self._notes, *predictions.notes))

    def named(self, name: str) -> "CalibrationState":
        """The same rows, as one shard of this name: it can be merged into a state once.

        Parameters
        ----------
        name : str
            Path or URL.

        Examples
        --------
        >>> CalibrationState().named("shard-0.npz").sources[0].name
        'shard-0.npz'
        """
        empty = self._settings.empty_tally()
        tally = None if empty is None or self._tally is None else empty + self._tally
        return _state(self._settings, tally, self._notes, (Source(name=name, n=self.n, digest=self.digest),))

    def merge(self, other: "CalibrationState", *, allow_duplicates: bool = False) -> None:
        """Add the rows of another state; exactly commutative and associative. If it is refused, nothing changes.

        Parameters
        ----------
        other : CalibrationState
            Of the same settings.
        allow_duplicates : bool, default False
            Whether a shard may be held twice: by default a name that is held already is refused, and so are rows whose
            sums are those of a shard that is held.

        Raises
        ------
        DataError
            If the settings differ, or a shard is given twice.
        InputFormatError
            If `other` is something else.
        """
        if not isinstance(other, CalibrationState):
            raise InputFormatError(f"expected a CalibrationState to merge, got {quoted(type(other).__name__)}.")
        settings = self._settings.joined(other._settings, ours="this state", theirs="the other")
        if not allow_duplicates:
            self._shards.refuse_twice(other._shards)
        total = settings.empty_tally()
        for tally in (self._tally, other._tally):
            if tally is not None and total is not None:
                total = total + tally
        self._settings, self._tally = settings, total
        self._notes = summed_notes((*self._notes, *other._notes))
        self._shards.add(other._shards)

    def __add__(self, other: "CalibrationState") -> "CalibrationState":
        total = _state(self._settings, self._tally, self._notes, self._shards)
        total.merge(other)
        return total

    @np.errstate(under="ignore")
    def evaluation(
        self,
        *,
        name: str = "predictions",
        confidence_level: float | None = 0.95,
        rng: Rng = 0,
        metrics: Which = "standard",
    ) -> Evaluation:
        """What `evaluate` gives for the same rows.

        Parameters
        ----------
        name : str, default "predictions"
            Name of the model.
        confidence_level : float or None, default 0.95
            Level of the intervals; None for none.
        rng : int or numpy.random.Generator, default 0
            Seed of the ECE that a calibrated model would show.
        metrics : {"standard", "all"}, default "standard"
            Whether to add the metrics on request that the cells of a state can give, and the tests of calibration.
            ``settings["error_bounds"]`` says how far each can be from that of the rows; others are absent, with the
            reason.

        Returns
        -------
        Evaluation
            ``settings["rows"]`` is "state". Each sum is the exact one, rounded once: values are those of `evaluate` up
            to the rounding of its sums. Standard errors are those of `evaluate` up to a relative 1e-8 of the scores'
            root mean square (docs/scale.md); of weighted rows only as far as no row has much of the weight: with x the
            largest share, up to about x^2 of themselves, and the correction of an interval for skewness up to 3 x.

        Raises
        ------
        DataError
            If there was no update yet, or the weights are too small for exact sums.

        Examples
        --------
        >>> state = CalibrationState()
        >>> state.update(Predictions.from_correct([True, False], [0.8, 0.6]))
        >>> state.evaluation().settings["rows"]
        'state'
        """
        settings = make_settings(
            view=self._settings.view,
            n_bins=self._settings.n_bins,
            binning=self._settings.binning,
            edges=self._settings.edges,
            confidence_level=confidence_level,
            rng=rng,
            threads=None,
            metrics=check_choice(metrics, ("standard", "all"), option="metrics"),
        )
        if self._tally is None:
            raise DataError("the state is empty: update it with predictions first.")
        return evaluation_of(self._about(name), self._tally, self._notes, settings)

    def save(self, path: AnyPath) -> None:
        """Write the state to a file (.ckst): versioned, with a checksum, no pickle; whole or not at all.

        Parameters
        ----------
        path : path
            Replaced if it is there. Two processes that write one path: the second is refused while the first writes.

        Raises
        ------
        OutputError
            If it cannot be written: what stood there before is untouched.

        Notes
        -----
        docs/state-file.md describes the file. Rows that came without a name are one shard from then on.
        """
        write_state(path, self._settings, self._tally, self._notes, self._sealed())

    @classmethod
    def load(cls, path: AnyPath) -> "CalibrationState":
        """Read a state from the file that `save` wrote.

        Parameters
        ----------
        path : path
            A .ckst file.

        Raises
        ------
        InputFormatError
            If it is truncated or damaged, of another version, or no such file.
        """
        return _state(*read_state(path))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CalibrationState):
            return NotImplemented
        mine = (self._settings, self._notes, self._tally, self._sealed())
        return mine == (other._settings, other._notes, other._tally, other._sealed())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        view = self._settings.view
        return f"CalibrationState(n={self.n:,}, view={view!r}, shards={len(self._shards):,})"

    def _about(self, name: str) -> About:
        settings = self._settings
        assert settings.kind is not None
        assert settings.view is not None
        return About(
            name=name,
            n=self.n,
            n_classes=settings.n_classes,
            kind=settings.kind,
            is_binary=bool(settings.one_event),
            weighted=bool(settings.weighted),
            grouped=False,
            view=settings.view,
            choices=self._choices(),
        )

    def _choices(self) -> tuple[int, int] | None:
        if not self._settings.ragged:
            return None
        facts = Facts() if self._tally is None else self._tally.facts
        return facts.fewest_choices or 0, facts.most_choices or 0

    def _sealed(self) -> tuple[Source, ...]:
        """The shards, with rows that came without a name as one more."""
        unnamed = self.n - self._shards.n
        if unnamed <= 0:
            return self.sources
        return tuple(sorted((*self._shards, Source(n=unnamed, digest=self.digest))))


def _state(
    settings: StateSettings, tally: Tally | None, notes: tuple[str, ...], sources: Iterable[Source]
) -> CalibrationState:
    state = CalibrationState()
    state._settings, state._tally, state._notes, state._shards = settings, tally, notes, Shards(sources)
    return state

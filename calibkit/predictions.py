"""Predictions: what a classifier said about labelled rows, and what the numbers mean. Floor 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibkit._checks import Source, check_correct, check_int, check_row_index, check_unique
from calibkit._intake.forecasts import OptIns, class_count, read_confidence, read_logits, read_probs
from calibkit._intake.frames import Columns, read_frame
from calibkit._intake.ragged import with_choices
from calibkit._intake.rows import arrays_at, frozen, read_rows, same

Kind = Literal["logits", "probs", "top1", "correct"]
Invalid = Literal["error", "drop"]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Predictions:
    """What a classifier said about n labelled rows, and what its numbers mean.

    Made by a constructor that names the meaning, for an array alone cannot tell it:

    =================  ================================================  ==========================================
    constructor        the forecast is                                   choose it for
    =================  ================================================  ==========================================
    `from_logits`      scores before softmax, (n, k); log-odds, (n,)     networks: nothing is lost to rounding
    `from_probs`       probabilities, (n, k); P(y = 1), (n,)             forecasts, forests, files of softmax output
    `from_top1`        predicted class and its probability               exports that kept the winner alone
    `from_correct`     whether the answer was right, and its confidence  language models: answers, not classes
    `from_frame`       any of these, in columns of a table               pandas, polars, Arrow
    =================  ================================================  ==========================================

    Parameters
    ----------
    kind : {"logits", "probs", "top1", "correct"}
        What the forecast is. Called directly, the class checks nothing: use a constructor.
    labels : ndarray of int64 of shape (n,) or None
        True classes 0..k-1; None for kind "correct".
    logits, probs : ndarray of shape (n, k) or (n,), or None
        The forecast in the dtype it was given in ((n, k) bfloat16 too, read as float32); 1-D: that of class 1 of two.
    predicted, confidence, correct : ndarray of shape (n,) or None
        The predicted class (int64, kind "top1"); the probability of what was predicted, in [0, 1], and whether it was
        right (float64 and bool, kinds "top1" and "correct").
    n_classes : int or None
        k; None if unknown, and where choices are not classes.
    sum_tolerance : float or None
        Accepted |row sum - 1| of (n, k) probs: by default max(64, k) eps of float32 and float64, max(8, k) of float16.
    n_choices : ndarray of int64 of shape (n,) or None
        Of ragged rows, how many choices each has: its k. In the places beyond stands -inf (logits) or 0 (probs).
    ids, weights, groups : ndarray of shape (n,) or None
        Distinct names of the rows; float64 weights above 0; which rows are dependent.
    class_names : tuple of str or None
        One name per class.
    name : str or None
        Name of the predictions, which begins every complaint about them.
    provenance : mapping
        How they were made; anything JSON can hold.
    notes : tuple of str
        What the opt-ins did, with counts.
    first_row : int
        Number of the first row in the file that a block is from: complaints count from it.

    Notes
    -----
    Keywords that the constructors share:

    - ``ids``, ``weights``, ``groups``, ``class_names``, ``name``, ``provenance``: as above. With ``class_names``,
      labels may be names. Rows of weight 0 are absent: left out, and nothing in them is checked.
    - ``invalid="drop"`` leaves out rows that are missing (masked, null) or not numbers (NaN; inf where it means
      nothing). Numbers that cannot be, such as a probability of 1.2, are an error all the same.
    - ``label_base=1``: labels count from 1. ``ignore_index=-100``: rows with this label are left out.
    - ``ragged=True``: the forecast is a list for each row, of any length: questions with unlike numbers of choices. A
      label is below that of its row, or a name in ``class_names``. Choices are no classes: what needs them is refused.

    Shapes, labels, ragged and all 1-D values are checked at once, (n, k) values by the first pass that scores them,
    unless rows are left out or ``clip``, ``renormalize`` or ``log_probs`` asks for a pass of its own. Arrays, CPU
    tensors and memory maps are kept as read-only views: do not change them. Equality leaves out notes and first row.
    """

    kind: Kind
    labels: NDArray[np.int64] | None = None
    logits: Array | None = None
    probs: Array | None = None
    predicted: NDArray[np.int64] | None = None
    confidence: NDArray[np.float64] | None = None
    correct: NDArray[np.bool_] | None = None
    n_classes: int | None = None
    sum_tolerance: float | None = None
    n_choices: NDArray[np.int64] | None = None
    ids: Array | None = None
    weights: NDArray[np.float64] | None = None
    groups: Array | None = None
    class_names: tuple[str, ...] | None = None
    name: str | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    first_row: int = 0

    @classmethod
    def from_logits(
        cls,
        labels: ArrayLike,
        logits: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        provenance: Mapping[str, object] | None = None,
        invalid: Invalid = "error",
        label_base: int = 0,
        ignore_index: int | None = None,
        ragged: bool = False,
    ) -> "Predictions":
        """Predictions from logits: scores that softmax turns into probabilities.

        Parameters
        ----------
        labels : array_like of shape (n,)
            True classes 0..k-1, or class names; one-hot rows (n, k) are read too, with a note.
        logits : array_like of shape (n, k) or (n,)
            Any real scores; -inf excludes a class. 1-D: finite log-odds of class 1, log(p / (1 - p)).
        ids, weights, groups, class_names, name, provenance, invalid, label_base, ignore_index, ragged
            See `Predictions`.

        Raises
        ------
        ShapeError, LabelError, DataError, InputFormatError
            Naming the first row that is wrong.

        Examples
        --------
        >>> Predictions.from_logits([2, 0], [[0.1, -1.2, 2.3], [0.4, 1.9, -0.7]], name="net")
        Predictions(kind='logits', n=2, n_classes=3, dtype=float64, name='net')
        """
        forecast = with_choices(logits, "logits", meaning="logits", name=name) if ragged else {"logits": logits}
        arrays = {"labels": labels, **forecast, "ids": ids, "weights": weights, "groups": groups}
        rows = read_rows(arrays, meaning="logits", invalid=invalid, name=name, ignore_index=ignore_index)
        told = rows.fields(class_count(rows["logits"]), class_names, label_base, provenance)
        return cls(kind="logits", **read_logits(rows).fields(), **told)

    @classmethod
    def from_probs(
        cls,
        labels: ArrayLike,
        probs: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        provenance: Mapping[str, object] | None = None,
        invalid: Invalid = "error",
        label_base: int = 0,
        ignore_index: int | None = None,
        clip: float | None = None,
        renormalize: bool = False,
        log_probs: bool = False,
        sum_tolerance: float | None = None,
        ragged: bool = False,
    ) -> "Predictions":
        """Predictions from probabilities: rows that sum to 1, or P(y = 1).

        Parameters
        ----------
        labels : array_like of shape (n,)
            True classes 0..k-1, or class names; one-hot rows (n, k) are read too, with a note.
        probs : array_like of shape (n, k) or (n,)
            Probabilities in [0, 1]; 1-D: P(y = 1) of two classes. Values outside by at most 4 eps of their
            dtype count as 0 or 1, with a note where they are 1-D.
        ids, weights, groups, class_names, name, provenance, invalid, label_base, ignore_index, ragged
            See `Predictions`.
        clip : float, optional
            Raise probabilities to at least this, and divide each row so changed by its sum; 1-D: move them into
            [clip, 1 - clip], as float64. Else p = 0 for the true class scores inf.
        renormalize : bool
            Divide each row by its sum.
        log_probs : bool
            The values are logarithms of probabilities; they are kept as logits (1-D: as log-odds).
        sum_tolerance : float, optional
            Accepted deviation of a row sum from 1; default max(64, k) eps of the dtype (float16: 8).

        Raises
        ------
        ShapeError, LabelError, DataError, InputFormatError, OptionError
            Naming the first row that is wrong.

        Examples
        --------
        >>> rain = Predictions.from_probs([0, 1, 1], [0.15, 0.62, 1.0], clip=0.001)
        >>> rain.probs, rain.notes
        (array([0.15 , 0.62 , 0.999]), ('clip=0.001: 1 of 3 values moved into [eps, 1 - eps]',))
        """
        opt_ins = OptIns(clip=clip, renormalize=renormalize, log_probs=log_probs, sum_tolerance=sum_tolerance)
        meaning = "log_probs" if log_probs else "probs"
        given = with_choices(probs, "probs", meaning=meaning, name=name) if ragged else {"probs": probs}
        arrays = {"labels": labels, **given, "ids": ids, "weights": weights, "groups": groups}
        rows = read_rows(arrays, meaning=meaning, invalid=invalid, name=name, ignore_index=ignore_index)
        forecast = read_probs(rows, opt_ins)
        told = rows.fields(class_count(rows["probs"]), class_names, label_base, provenance, forecast.notes)
        return cls(kind="logits" if log_probs else "probs", **forecast.fields(), **told)

    @classmethod
    def from_top1(
        cls,
        labels: ArrayLike,
        predicted: ArrayLike,
        confidence: ArrayLike,
        *,
        n_classes: int | None = None,
        ids: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        provenance: Mapping[str, object] | None = None,
        invalid: Invalid = "error",
        label_base: int = 0,
        ignore_index: int | None = None,
    ) -> "Predictions":
        """Predictions from the predicted class and its probability alone.

        Scores that need the other classes (NLL, Brier, a temperature) are not defined for them.

        Parameters
        ----------
        labels, predicted : array_like of shape (n,)
            True and predicted classes 0..k-1, or class names.
        confidence : array_like of shape (n,)
            Probability of the predicted class, in [0, 1]; values outside by at most 4 eps count as 0 or 1.
        n_classes : int, optional
            k, by which labels are checked; default: the number of class names, else unknown.
        ids, weights, groups, class_names, name, provenance, invalid, label_base, ignore_index
            See `Predictions`.

        Raises
        ------
        ShapeError, LabelError, DataError, InputFormatError, OptionError
            Naming the first row that is wrong.

        Examples
        --------
        >>> Predictions.from_top1([4, 0, 7], [4, 1, 7], [0.91, 0.48, 0.66]).correct
        array([ True, False,  True])
        """
        passengers = {"ids": ids, "weights": weights, "groups": groups}
        arrays = {"labels": labels, "predicted": predicted, "confidence": confidence, **passengers}
        rows = read_rows(arrays, meaning="confidence", invalid=invalid, name=name, ignore_index=ignore_index)
        k = None if n_classes is None else check_int(n_classes, option="n_classes", low=2)
        forecast = read_confidence(rows)
        told = rows.fields(k, class_names, label_base, provenance, forecast.notes)
        correct = frozen(told["predicted"] == told["labels"])
        return cls(kind="top1", correct=correct, **forecast.fields(), **told)

    @classmethod
    def from_correct(
        cls,
        correct: ArrayLike,
        confidence: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        name: str | None = None,
        provenance: Mapping[str, object] | None = None,
        invalid: Invalid = "error",
    ) -> "Predictions":
        """Predictions from whether each answer was right and how sure the model was.

        For answers that are not classes, such as those of a language model.

        Parameters
        ----------
        correct : array_like of shape (n,)
            True or False, or 1 and 0.
        confidence : array_like of shape (n,)
            Probability of being right, in [0, 1]; values outside by at most 4 eps count as 0 or 1.
        ids, weights, groups, name, provenance, invalid
            See `Predictions`.

        Raises
        ------
        ShapeError, DataError, InputFormatError
            Naming the first row that is wrong.

        Examples
        --------
        >>> Predictions.from_correct([True, False], [0.83, 0.57], ids=["q1", "q2"])
        Predictions(kind='correct', n=2, n_classes=None, dtype=float64, name=None)
        """
        arrays = {"correct": correct, "confidence": confidence, "ids": ids, "weights": weights, "groups": groups}
        rows = read_rows(arrays, meaning="confidence", invalid=invalid, name=name)
        right = frozen(check_correct(rows.columns["correct"], rows.source))
        forecast = read_confidence(rows)
        told = rows.fields(None, None, 0, provenance, forecast.notes)
        return cls(kind="correct", correct=right, **forecast.fields(), **told)

    @classmethod
    def from_frame(
        cls,
        frame: object,
        *,
        labels: str | None = None,
        logits: Columns | None = None,
        probs: Columns | None = None,
        predicted: str | None = None,
        confidence: str | None = None,
        correct: str | None = None,
        ids: str | None = None,
        weights: str | None = None,
        groups: str | None = None,
        class_names: Sequence[str] | None = None,
        **options: Any,
    ) -> "Predictions":
        """Predictions from named columns of a pandas, polars or Arrow table.

        Parameters
        ----------
        frame : DataFrame or Table
            Each keyword below names one of its columns; nulls are missing entries.
        labels, predicted, confidence, correct, ids, weights, groups : str, optional
            As in the other constructors, of which the one that fits is called.
        logits, probs : str or list of str, optional
            A numeric column (1-D), a list column, the columns of all classes in order, or their prefix: "logits"
            for logits_0, logits_1, ..., or for logits_cat, logits_dog, ..., which names the classes.
        class_names : sequence of str, optional
            Names in class order; default: those in the column names, if any.
        **options
            Further keywords of the constructor: name, invalid, clip, ...

        Raises
        ------
        InputFormatError
            If a column is not there, or none or two forecasts are named; and what the constructor raises.

        Examples
        --------
        >>> import polars
        >>> table = polars.DataFrame({"y": ["dog", "cat"], "p_cat": [0.3, 0.8], "p_dog": [0.7, 0.2]})
        >>> Predictions.from_frame(table, labels="y", probs="p").class_names
        ('cat', 'dog')
        """
        rows = {"labels": labels, "correct": correct, "ids": ids, "weights": weights, "groups": groups}
        named = {**rows, "logits": logits, "probs": probs, "predicted": predicted, "confidence": confidence}
        table = read_frame(frame, named, class_names=class_names, ragged=bool(options.get("ragged")))
        made: Predictions = getattr(cls, table.constructor)(**table.arrays, **table.options, **options)
        return made

    @property
    def values(self) -> Array:
        """The forecast as it is stored: logits, probs or confidence."""
        found = {"logits": self.logits, "probs": self.probs}.get(self.kind, self.confidence)
        assert found is not None
        return found

    @property
    def is_binary(self) -> bool:
        """Whether the forecast is one number per row for class 1 of two: 1-D logits or probs."""
        return self.kind in ("logits", "probs") and self.values.ndim == 1

    def take(self, index: ArrayLike) -> "Predictions":
        """Predictions of some rows, in the order given, with all that goes along with them.

        Parameters
        ----------
        index : array_like
            Row numbers, or a boolean mask of shape (n,). Rows with ids cannot be taken twice.

        Examples
        --------
        >>> Predictions.from_probs([0, 1, 1], [0.2, 0.7, 0.4], groups=[5, 5, 8]).take([2, 0]).groups
        array([8, 5])
        """
        cut = arrays_at(self, check_row_index(index, len(self)))
        if self.ids is not None:
            check_unique(cut["ids"], "ids", Source(name=self.name))
        return replace(self, first_row=0, **cut)

    def with_name(self, name: str | None) -> "Predictions":
        """The same predictions under another name."""
        return replace(self, name=name)

    def __len__(self) -> int:
        return len(self.values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Predictions):
            return NotImplemented
        names = (one.name for one in fields(self) if one.name not in ("notes", "first_row"))
        return all(same(getattr(self, name), getattr(other, name)) for name in names)

    def __repr__(self) -> str:
        what = f"kind={self.kind!r}, n={len(self)}, n_classes={self.n_classes}, dtype={self.values.dtype}"
        return f"Predictions({what}, name={self.name!r})"

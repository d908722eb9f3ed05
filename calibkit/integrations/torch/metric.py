"""CalibrationMetric: a calibration evaluation of the batches of a validation loop. Annex: integrations."""

from typing import Literal

from torch import Tensor

from calibkit._checks import check_choice, check_int, check_level, check_name, check_rng
from calibkit.evaluation import Evaluation
from calibkit.integrations.torch.batches import read_batch
from calibkit.integrations.torch.processes import state_of_all, state_of_own
from calibkit.integrations.torch.saving import load_share, saved_share
from calibkit.integrations.torch.share import Share
from calibkit.one_pass import Rng, Which
from calibkit.state import CalibrationState

View = Literal["top-label", "positive"]
Processes = Literal["all", "own"]


class CalibrationMetric:
    """Every calibration metric of the batches of a validation loop, with intervals, in constant memory.

    A batch is scored where it is, and leaves counts and exact sums there: an update does not wait for the device, and
    nothing of the size of the logits is kept. `compute` gives what `calibkit.CalibrationState` gives for the same rows.

    Parameters
    ----------
    n_classes : int, optional
        Number of classes; by default that of the first batch.
    view : {"top-label", "positive"}, optional
        Which binary question calibration is measured for; by default "positive" for 1-D input, else "top-label".
    n_bins : int, default 15
        Number of bins of equal width (Guo et al. 2017).
    edges : {"right", "left"}, default "right"
        Which end of a bin is closed; 0 and 1 are always inside.
    ignore_index : int, optional
        Rows with this label are left out, -100 for instance for padded tokens; they are counted in a note.
    name : str, optional
        What results call the model.
    confidence_level : float or None, default 0.95
        Level of the intervals that `compute` gives; None for none.
    rng : int or numpy.random.Generator, default 0
        Seed of the ECE that a calibrated model would show.
    processes : {"all", "own"}, default "all"
        Whose rows a result is of where torch.distributed is initialised: then all processes must ask for it.

    Raises
    ------
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    Tensors on the CPU are read where they are by the same pass as arrays: the result has the bits of
    `calibkit.CalibrationState`, whatever the batches. On a CUDA device rows are scored there. Top-1 and correctness
    give the bits of the CPU, and so do probabilities. Logits give scores that agree to the rounding of float32, and
    counts that are equal but for rows within that distance of an edge.

    Bad values on a device are counted there, and the first of them is complained of when a result is asked for; on the
    CPU `update` raises at once.

    Examples
    --------
    >>> import torch
    >>> metric = CalibrationMetric()
    >>> for _ in range(2):
    ...     logits = torch.tensor([[2.0, 0.0, 1.0], [0.5, 0.1, 0.0]])
    ...     metric.update(labels=torch.tensor([0, 2]), logits=logits)
    >>> evaluation = metric.compute()
    >>> evaluation.n, evaluation["accuracy"].value
    (4, 0.5)
    """

    def __init__(
        self,
        *,
        n_classes: int | None = None,
        view: View | None = None,
        n_bins: int = 15,
        edges: Literal["right", "left"] = "right",
        ignore_index: int | None = None,
        name: str | None = None,
        confidence_level: float | None = 0.95,
        rng: Rng = 0,
        processes: Processes = "all",
    ) -> None:
        if view is not None:
            check_choice(view, ("top-label", "positive"), option="view")
        self._options = {"n_classes": n_classes, "view": view, "n_bins": n_bins, "edges": edges}
        self.name = check_name(name)
        self.ignore_index = None if ignore_index is None else check_int(ignore_index, option="ignore_index")
        self.confidence_level = check_level(confidence_level)
        check_rng(rng)
        self.rng = rng
        self.processes = check_choice(processes, ("all", "own"), option="processes")
        self._share = self._empty()

    def _empty(self) -> Share:
        return Share(self._options, name=self.name, ignore_index=self.ignore_index)

    def update(
        self,
        *,
        labels: Tensor | None = None,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        predicted: Tensor | None = None,
        confidence: Tensor | None = None,
        correct: Tensor | None = None,
        weights: Tensor | None = None,
        ids: Tensor | None = None,
    ) -> None:
        """Add a batch. Which tensors are named says what they mean, as in `calibkit.Predictions`.

        Parameters
        ----------
        labels : Tensor of shape (n,), optional
            True classes 0..k-1; needed but for correctness.
        logits : Tensor of shape (n, k) or (n,), optional
            Scores before the softmax, or log-odds of class 1: float16, bfloat16, float32 or float64.
        probs : Tensor of shape (n, k) or (n,), optional
            Probabilities, or P(y = 1).
        predicted, confidence : Tensor of shape (n,), optional
            Predicted class, and its probability.
        correct : Tensor of shape (n,), optional
            Whether an answer was right; goes with confidence, and without labels.
        weights : Tensor of shape (n,), optional
            At least 0; in all batches or in none.
        ids : Tensor of int64 of shape (n,), optional
            Each row's number in the dataset: a row that several processes have, for a sampler has filled up their
            shares, then counts once. Rows are kept as about 70 bytes each until a result is asked for. In all batches
            or in none.

        Raises
        ------
        InputFormatError, ShapeError
            If the tensors do not say what they are, or do not fit each other.
        DataError, LabelError
            If a value on the CPU is bad, or the batch is not of the kind of those before.

        Examples
        --------
        >>> import torch
        >>> metric = CalibrationMetric()
        >>> metric.update(correct=torch.tensor([True, False]), confidence=torch.tensor([0.8, 0.6]))
        >>> metric.state().n
        2
        """
        batch = read_batch(
            name=self.name,
            labels=labels,
            logits=logits,
            probs=probs,
            predicted=predicted,
            confidence=confidence,
            correct=correct,
            weights=weights,
            ids=ids,
        )
        self._share.take(batch)

    def state(self) -> CalibrationState:
        """Counts and exact sums of all rows, on the host: to merge, to save, or to compare bit by bit.

        Raises
        ------
        DataError
            If a value on a device was bad; if a process fails, in all processes; if an id came twice in one process,
            or with two labels.
        """
        return state_of_all(self._share) if self.processes == "all" else state_of_own(self._share)

    def compute(self, *, metrics: Which = "standard") -> Evaluation:
        """Every metric of all rows, with its interval; batches may follow.

        Parameters
        ----------
        metrics : {"standard", "all"}, default "standard"
            Whether to add the metrics on request that a state can give.

        Raises
        ------
        DataError
            As `state`, and if there was no batch.
        """
        return self.state().evaluation(
            name=self.name or "predictions",
            confidence_level=self.confidence_level,
            rng=self.rng,
            metrics=metrics,
        )

    def reset(self) -> None:
        """Forget all rows; the options stay."""
        self._share = self._empty()

    def state_dict(self) -> dict[str, Tensor]:
        """What this process has seen, as tensors that ``torch.save`` and ``torch.load`` keep."""
        return saved_share(self._share)

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Put back what `state_dict` gave, in place of what was seen.

        Raises
        ------
        InputFormatError
            If it is damaged, of another version, or something else.
        DataError
            If it was made with other settings.
        """
        share = self._empty()
        load_share(share, state_dict)
        self._share = share

    def __repr__(self) -> str:
        return f"CalibrationMetric(n={self._share.n_given:,}, kind={self._share.settings.kind!r})"

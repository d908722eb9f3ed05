"""What the rows of a state have in common, fixed by its options or by the first rows. Floor 3."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from calibkit._checks import check_cells
from calibkit.binning import Binning, Closed, Strategy
from calibkit.errors import DataError
from calibkit.predictions import Kind, Predictions
from calibkit.tally import Cells, Tally, empty_tally
from calibkit.views import NOT_CLASSES, View, resolve_view


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """What the rows of a state have in common; None where nothing has fixed it yet.

    Attributes
    ----------
    n_bins : int
        Number of bins.
    binning : {"uniform", "quantile"}
        Bins of equal width, or of equal count.
    edges : {"right", "left"}
        The closed end of a bin.
    view : str or None
        Which forecast and outcome are binned.
    n_classes : int or None
        Classes.
    kind : {"logits", "probs", "top1", "correct"} or None
        What the forecast is.
    one_event : bool or None
        Whether it is one number a row, for class 1 of two.
    weighted : bool or None
        Whether rows have weights.
    class_names : tuple of str or None
        One name a class.
    ragged : bool or None
        Whether rows have choices, of numbers of their own, which are no classes.
    """

    n_bins: int = 15
    binning: Strategy = "uniform"
    edges: Closed = "right"
    view: View | None = None
    n_classes: int | None = None
    kind: Kind | None = None
    one_event: bool | None = None
    weighted: bool | None = None
    class_names: tuple[str, ...] | None = None
    ragged: bool | None = None

    @property
    def bins(self) -> Binning:
        """The bins."""
        return Binning(n_bins=self.n_bins, strategy=self.binning, edges=self.edges)

    @property
    def cells(self) -> Cells:
        """The cells, cut at the edges of bins of equal width."""
        uniform = self.binning == "uniform"
        return Cells(binning=self.bins if uniform else Binning(n_bins=1, edges=self.edges))

    def joined(self, other: "StateSettings", *, ours: str, theirs: str) -> "StateSettings":
        """What both have in common; an error that names the first thing in which they differ."""
        values: dict[str, Any] = {}
        for field in fields(self):
            one, another = getattr(self, field.name), getattr(other, field.name)
            if one is not None and another is not None and one != another:
                raise DataError(
                    f"{field.name} differs: {another!r} in {theirs}, {one!r} in {ours}. Sums of different settings "
                    "cannot be added: make both with the same."
                )
            values[field.name] = another if one is None else one
        return StateSettings(**values)

    def of(self, predictions: Predictions) -> "StateSettings":
        """These settings, with what predictions fix."""
        found = StateSettings(
            n_bins=self.n_bins,
            binning=self.binning,
            edges=self.edges,
            view=resolve_view(predictions, self.view),
            n_classes=predictions.n_classes,
            kind=predictions.kind,
            one_event=predictions.is_binary,
            weighted=predictions.weights is not None,
            class_names=predictions.class_names,
            ragged=predictions.n_choices is not None,
        )
        if found.ragged and self.n_classes is not None and self.kind is None:
            raise DataError(f"n_classes={self.n_classes} of the state, and {NOT_CLASSES}: leave it out.")
        if self.n_classes is not None and found.n_classes is None and not found.ragged:
            raise DataError(f"n_classes={self.n_classes} of the state, and the predictions do not know theirs.")
        if self.view in ("classwise", "flattened"):
            if predictions.weights is not None:
                raise DataError(f"weighted rows cannot go into a state of view {self.view}: evaluate them in memory.")
            check_cells(self.n_bins, predictions.n_classes or 2, view=self.view)
        return self.joined(found, ours="the state", theirs=predictions.name or "the predictions")

    def empty_tally(self) -> Tally | None:
        """The tally of no rows, once the settings are fixed."""
        if self.kind is None:
            return None
        return empty_tally(
            self.cells,
            n_classes=self.n_classes,
            proper=self.kind in ("logits", "probs"),
            weighted=bool(self.weighted),
            labelled=self.kind != "correct",
            n_tables={"classwise": self.n_classes or 0, "flattened": 1}.get(self.view or "", 0),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        names = self.class_names
        values = asdict(self) | {"class_names": None if names is None else list(names)}
        if not self.ragged:  # files from before there were ragged rows do not hold it
            del values["ragged"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StateSettings":
        """Settings from their plain JSON."""
        names = values["class_names"]
        ragged = values.get("ragged", None if values["kind"] is None else False)
        return cls(**{**values, "class_names": None if names is None else tuple(names), "ragged": ragged})

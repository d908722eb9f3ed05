"""How much of a difference in log score one temperature removes, and how much it leaves. Floor 3."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibkit.intervals import PairedEstimate
from calibkit.one_pass import Scored, paired_mean
from calibkit.render import plain_number
from calibkit.results import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSplit:
    """A difference of NLL as the sum of what temperature scaling removes and of what it leaves.

    Attributes
    ----------
    total : Difference
        Of the models as saved.
    temperature : Difference
        Of what each model's temperature takes from its NLL: its miscalibration as far as one parameter can mend it.
        On rows that did not fit the temperature a model's own part may be negative.
    rest : Difference
        After scaling: what discriminates better, and miscalibration that no temperature mends.

    Notes
    -----
    With NLL_X(T) the score of model X at temperature T, the parts are the differences of NLL_X(1) - NLL_X(T_X) and of
    NLL_X(T_X), row by row: they add up to the total exactly, and each has its own paired t interval.

    Examples
    --------
    >>> parts = [Difference(value=v, p_value=1e-6) for v in (-0.24, -0.21, -0.03)]
    >>> split = ScoreSplit(total=parts[0], temperature=parts[1], rest=parts[2])
    >>> round(split.temperature_share(level=0.95), 3)
    0.875
    """

    total: Difference
    temperature: Difference
    rest: Difference

    def temperature_share(self, *, level: float) -> float | None:
        """Share of the total in (0, 1); None unless the total is significant and both parts have its sign."""
        values = (self.total.value, self.temperature.value, self.rest.value)
        if not self.total.significant(level) or not (min(values) > 0 or max(values) < 0):
            return None
        return self.temperature.value / self.total.value

    def to_dict(self, *, level: float | None) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        parts = {"total": self.total, "temperature": self.temperature, "rest": self.rest}
        return {
            **{
                name: {key: plain_number(getattr(part, key)) for key in ("value", "low", "high", "p_value")}
                for name, part in parts.items()
            },
            "temperature_share": None if level is None else plain_number(self.temperature_share(level=level)),
        }


def removed_by_temperature(
    saved: tuple[Scored, Scored], scaled: tuple[Scored, Scored], *, level: float
) -> PairedEstimate | None:
    """Paired difference of what scaling takes from each row's NLL; None where a score is absent or infinite."""
    if not all("nll" in scored.rows and np.isfinite(scored.rows["nll"]).all() for scored in (*saved, *scaled)):
        return None
    ours, theirs = (before.rows["nll"] - after.rows["nll"] for before, after in zip(saved, scaled, strict=True))
    return paired_mean(*saved, (ours, theirs), level=level)

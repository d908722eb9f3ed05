"""Which metrics the faces for other libraries give. Annex: integrations."""

from collections.abc import Sequence

from calibkit._checks import check_choice
from calibkit.errors import OptionError
from calibkit.metrics import METRICS

USUAL = ("accuracy", "ece", "nll", "brier")


def check_names(names: Sequence[str], *, option: str) -> tuple[str, ...]:
    """Names of metrics that every evaluation has, if they are; said now rather than after an epoch.

    Examples
    --------
    >>> check_names(["ece", "nll"], option="values")
    ('ece', 'nll')
    """
    if isinstance(names, str):
        raise OptionError(f"{option}={names!r}: expected several names, such as ({names!r},).")
    there = tuple(name for name, metric in METRICS.items() if not metric.on_request)
    return tuple(check_choice(name, there, option=option) for name in names)

"""The evaluation of a tally. Floor 3."""

import numpy as np

from calibkit.bracket import chance
from calibkit.calibration_error import curve_of
from calibkit.evaluation import Evaluation, judge_evidence
from calibkit.evidence import About, what_was_seen
from calibkit.one_pass import Settings
from calibkit.render import plain_number
from calibkit.state.evidence import Tallied
from calibkit.state.further import FromCells, further_of_state
from calibkit.state.rows import check_mean_weight
from calibkit.tally import Tally, table_of_bins

# Rankings with intervals, where rows have no weights.
_RANKINGS = ("aurc", "augrc")


def evaluation_of(about: About, tally: Tally, notes: tuple[str, ...], settings: Settings) -> Evaluation:
    """What `evaluate` gives for the rows of a tally."""
    table, level = table_of_bins(tally), settings.confidence_level
    check_mean_weight(table)
    asked = settings.metrics == "all"
    evidence = Tallied(
        about=about,
        tally=tally,
        table=table,
        rankings=_RANKINGS if asked and not about.weighted and about.n else (),
    )
    more = further_of_state(evidence, seed=settings.seed) if asked else FromCells()
    told: dict[str, object] = {"rows": "state"}
    if more.bounds:
        told["error_bounds"] = {name: plain_number(bound) for name, bound in more.bounds.items()}
    return judge_evidence(
        evidence,
        settings,
        curve=curve_of(table, about.view, level=level),
        more=more.further,
        null=None if level is None or about.n == 0 else chance(table, rng=np.random.default_rng(settings.seed)),
        notes=(*notes, *what_was_seen(about, tally.facts, effective=evidence.effective)),
        told=told,
    )

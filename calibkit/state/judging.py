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
from calibkit.tally import Tally, class_tables, table_of_bins
from calibkit.views import absent_classes

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
        of_view=class_tables(tally) if about.many_pairs else None,
        rankings=_RANKINGS if asked and not about.weighted and about.n else (),
    )
    more = further_of_state(evidence, seed=settings.seed) if asked else FromCells()
    told: dict[str, object] = {"rows": "state"}
    if more.bounds:
        told["error_bounds"] = {name: plain_number(bound) for name, bound in more.bounds.items()}
    null = None
    if level is not None and about.n and not about.many_pairs:
        null = chance(table, rng=np.random.default_rng(settings.seed))
    drawn, view = (evidence.tables[0], "flattened") if about.view == "flattened" else (table, evidence.pair_view)
    return judge_evidence(
        evidence,
        settings,
        curve=curve_of(drawn, view, level=level),
        more=more.further,
        null=null,
        notes=(
            *notes,
            *what_was_seen(about, tally.facts, effective=evidence.effective),
            *(absent_classes(tally.classes) if about.view == "classwise" and tally.classes is not None else ()),
            *(("No chance level of ECE: in this view it is drawn from rows.",) if about.many_pairs and level else ()),
        ),
        told=told,
    )

"""The evaluation of a tally. Floor 3."""

import numpy as np

from calibkit.binning import Binning
from calibkit.bracket import Chance
from calibkit.calibration_error import curve_of
from calibkit.evaluation import Evaluation, judge_evidence
from calibkit.evidence import About, what_was_seen
from calibkit.one_pass import Settings
from calibkit.render import plain_number
from calibkit.resampling import chance
from calibkit.state.evidence import Tallied
from calibkit.state.further import FromCells, distances, further_of_state
from calibkit.state.quantiles import Cut, quantile_table
from calibkit.state.rows import check_mean_weight
from calibkit.tally import Tally, class_tables, histogram_of, table_of_bins
from calibkit.views import absent_classes, merged_bins

# Rankings with intervals, where rows have no weights.
_RANKINGS = ("aurc", "augrc")
_NO_SAMPLE = (
    "No chance level of ECE: in this view it is drawn from a sample of the rows, and a part of the state was saved by "
    "a calibkit that kept none."
)


def evaluation_of(about: About, tally: Tally, notes: tuple[str, ...], settings: Settings) -> Evaluation:
    """What `evaluate` gives for the rows of a tally."""
    level, asked = settings.confidence_level, settings.metrics == "all"
    cut = _cut(tally, settings.binning)
    table = cut.table
    check_mean_weight(table)
    evidence = Tallied(
        about=about,
        tally=tally,
        table=table,
        of_view=class_tables(tally) if about.many_pairs else None,
        rankings=_RANKINGS if asked and not about.weighted and about.n else (),
    )
    more = further_of_state(evidence, settings, cut=cut) if asked else FromCells(bounds=cut.bounds)
    told: dict[str, object] = {"rows": "state"}
    if more.bounds:
        told["error_bounds"] = {name: plain_number(bound) for name, bound in more.bounds.items()}
    null = _null(evidence, settings) if level is not None and about.n else None
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
            *merged_bins((table,), settings.binning),
            *(absent_classes(tally.classes) if about.view == "classwise" and tally.classes is not None else ()),
            *((_NO_SAMPLE,) if about.many_pairs and tally.sketch is None and level is not None else ()),
            *distances(more.bounds),
        ),
        told=told,
    )


def _null(evidence: Tallied, settings: Settings) -> Chance | None:
    """What a calibrated model would show of the ECE; None where nothing tells."""
    rng = np.random.default_rng(settings.seed)
    if not evidence.about.many_pairs:
        return chance(evidence.table, rng=rng)
    return evidence.chance_of_pairs(rng)


def _cut(tally: Tally, binning: Binning) -> Cut:
    """The bin table: of equal width whole cells, of equal count as near as cells allow."""
    if binning.strategy == "uniform":
        return Cut(table=table_of_bins(tally))
    return quantile_table(histogram_of(tally).told_apart(), binning, weighted=tally.weighted)

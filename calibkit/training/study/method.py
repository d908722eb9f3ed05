"""How a study was made and how its verdicts are reached, in words, from its settings. Annex: training."""

from collections.abc import Iterator, Sequence

from calibkit.render import format_number
from calibkit.render.markdown import escape
from calibkit.training.study.cells import REGULARISATIONS
from calibkit.training.study.lines import MARGINS, TITLES, Evidence
from calibkit.training.study.other_claims import CLAIMS, COST_MARGIN
from calibkit.training.study.rules import supports_words


def method(studies: Sequence[Evidence]) -> Iterator[str]:
    """The section on method."""
    yield "## How to read it"
    yield "\n".join(f"- {words}" for words in (*supports_words(), _margins(), _seeds(), _several(studies)))
    yield "## How it was made"
    yield "\n".join(f"- {words}" for words in (*_data(studies), *_recipe(studies[0])))


def _margins() -> str:
    margins = ", ".join(f"{TITLES[name]} {margin:g}" for name, margin in MARGINS.items())
    return (
        f"Margins, before and after scaling: {margins}; cost {100 * COST_MARGIN:g} %. They say what is worth a word "
        "and were set before the runs."
    )


def _seeds() -> str:
    return (
        "A seed is a new split of the same data set, new flips, new first weights and new batches; methods are paired "
        "by seed. So an interval says what would come out on average if the same data were split and trained on again "
        "and again. Splits of one data set share rows, so it is too narrow for other data (Nadeau, Bengio 2003), and "
        "it says nothing of other networks."
    )


def _several(studies: Sequence[Evidence]) -> str:
    claims = f"{len(CLAIMS)} claims and parts of claims"
    return (
        f"Several tests are made at once: {claims} on {len(studies)} data set{'s' if len(studies) > 1 else ''}, some "
        "with several lines that decide, and intervals are not adjusted. Of twenty lines without any effect one is "
        "expected to exclude 0; lines that do not decide are evidence to look at, not findings."
    )


def _data(studies: Sequence[Evidence]) -> Iterator[str]:
    for evidence in studies:
        row = evidence.rows[0]
        whole = next((r for r in evidence.rows if r["classes"] == "all"), row)
        yield (
            f"{escape(evidence.data)}: {evidence.n_rows:,} rows of {evidence.n_classes} classes; {whole['n_train']:,} "
            f"to train, {whole['n_calibration']:,} to fit the temperature, {whole['n_test']:,} to test; "
            f"{evidence.seeds} seeds, {_n_runs(evidence):,} runs, {format_number(_minutes(evidence))} core-minutes of "
            "training."
        )
    yield (
        "A third of the rows trains (at most "
        f"{studies[0].shared['train_rows']:,}), and two equal parts of the rest calibrate and test: with more rows to "
        "train these data are nearly solved, and where every calibration row is right there is no temperature. Such "
        'a seed is left out of what is measured after scaling; "seeds" counts those that are in.'
    )


def _recipe(evidence: Evidence) -> Iterator[str]:
    shared = evidence.shared
    widths = ", ".join(map(str, shared["hidden"])) or "no hidden layer"
    yield (
        f"Network: a multilayer perceptron ({widths}) with ReLU, AdamW at {shared['lr']:g}, batches of "
        f"{shared['batch_size']}, {shared['epochs']} epochs, the weights of the last one: nothing is selected. The "
        "default was chosen by looking at hard labels alone: of seven sizes and lengths, (128, 128) for 100 epochs is "
        "the cheapest whose mean confidence was above its accuracy on digits and on MNIST, without and with 20 % of "
        "labels flipped. Smoothing was not looked at."
    )
    yield (
        "Label noise: the fraction of labels that are changed to another class, each equally likely, in all three "
        "parts. Test and calibration labels count as they truly are, unless a line says that they are flipped too."
    )
    extra = REGULARISATIONS["all three"]
    yield (
        f"Dropout {extra.dropout:g} after hidden layers; weight decay {extra.weight_decay:g} instead of 0.01; "
        "augmentation: images are shifted by up to a fourteenth of their side, other inputs get noise of deviation 0.1."
    )
    yield (
        "Metrics: view top-label, 15 bins of equal width; temperatures maximise the likelihood of calibration rows. "
        "The table of all runs is written beside the runs, with every metric before and after scaling."
    )


def _n_runs(evidence: Evidence) -> int:
    return sum(row["labels"] == "clean" for row in evidence.rows)


def _minutes(evidence: Evidence) -> float:
    return sum(float(row["seconds"]) for row in evidence.rows if row["labels"] == "clean") / 60

"""The page: made of the claims, its links lead somewhere, its published numbers say what is said of them."""

import re

import pytest

from calibkit.training.study.effects import level_of
from calibkit.training.study.figure import PANELS, study_figure
from calibkit.training.study.other_claims import CLAIMS
from calibkit.training.study.page import study_page
from calibkit.training.study.published import MBLS, MUKHOTI, MULLER
from tests.training.study.test_claims import GRID, NOISES, evidence_of

SHARED = {"epochs": 3, "hidden": (8, 4), "batch_size": 64, "lr": 0.002, "train_rows": 2000}


@pytest.fixture(scope="module")
def evidence():
    made = evidence_of([("accuracy", 0.03, lambda c: c.smoothing > 0)], cost={"training, wall time": [1.01, 1.02]})
    object.__setattr__(made, "shared", SHARED)
    return made


@pytest.fixture(scope="module")
def page(evidence):
    return study_page([evidence], ["images/a.png"], command="calibkit study --out study")


def test_every_claim_has_its_verdict_in_the_table_and_its_section(evidence, page):
    for claim in (make(evidence) for make in CLAIMS):
        assert re.search(rf"^\| {claim.number} \| .* \| \*\*{claim.verdict}\*\* \|$", page, flags=re.M)
        assert f"### made, ({claim.number}): {claim.verdict}" in page
    assert "e = 0.1, no label noise: accuracy is higher by 0.0" in page


def test_the_page_states_rules_margins_seeds_and_the_many_tests(page):
    for words in ("**supported**", "Margins", "A seed is a new split of the same data set", "Several tests are made"):
        assert words in page
    assert "(8, 4)" in page
    assert "    calibkit study --out study\n" in page


def test_tables_are_whole(page):
    width = None
    for line in page.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert width in (None, cells), line
        width = cells


def test_several_data_sets_share_one_page(evidence):
    page = study_page([evidence, evidence], ["images/a.png", "images/b.png"], command="c")
    assert page.count("![Every measure against smoothing") == 2
    assert "| made | made |" in page
    assert page.count("## Published numbers") == 1


def test_the_links_of_a_study_lead_to_its_figures(tiny):
    links = re.findall(r"!\[.*?\]\((.*?)\)", tiny.page.read_text())
    assert [tiny.page.parent / link for link in links] == list(tiny.figures)


def test_the_figure_has_a_panel_a_measure_with_the_intervals_of_the_seeds(evidence):
    figure = study_figure(evidence)
    assert len(figure.axes) == len(PANELS) == 12
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"{e:g}" for e in GRID]
    assert len(ax.lines) == len(ax.collections) == len(NOISES)
    for noise, line, whiskers in zip(NOISES, ax.lines, ax.collections, strict=True):
        means = [level_of(evidence.of("accuracy", noise=noise, smoothing=e)) for e in GRID]
        assert list(line.get_ydata()) == [mean.value for mean in means]
        ends = [(segment[0][1], segment[1][1]) for segment in whiskers.get_segments()]
        assert ends == [(mean.low, mean.high) for mean in means]


def leading(cell):
    return float(cell.split(" ")[0])


def bracketed(cell):
    return float(re.search(r"\((.*)\)", cell)[1])


def test_what_is_said_of_published_tables_is_what_they_show():
    muller = [(leading(hard), leading(scaled), leading(smooth)) for _, hard, scaled, smooth in MULLER.rows]
    assert all(smooth < hard and scaled < smooth for hard, scaled, smooth in muller)
    rows = [tuple(map(leading, row[1:])) for row in MUKHOTI.rows]
    assert (len(rows), sum(smooth < hard for hard, _, smooth, _, _ in rows)) == (10, 9)
    assert all(smooth_scaled > hard_scaled for _, hard_scaled, _, smooth_scaled, _ in rows)
    assert sum(bracketed(row[4]) < 1 for row in MUKHOTI.rows) == 4
    by_loss = {row[0]: (float(row[2]), float(row[3])) for row in MBLS.rows}
    assert min(by_loss, key=lambda loss: by_loss[loss][0]) == "cross-entropy"
    assert min(by_loss, key=lambda loss: by_loss[loss][1]) == "MbLS"

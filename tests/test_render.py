"""Text, Markdown, JSON and CSV are checked against dictionaries written by hand, in general position."""

import csv
import io
import json
import math
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from calibkit import render

HOSTILE = "run\x1b]0;owned\x07 \u202egnp|<script> [red]x[/red] *b* $x$"
SHOWN = "runU+001B]0;ownedU+0007 U+202Egnp|<script> [red]x[/red] *b* $x$"


def estimate(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def evaluation(name="hard", **changes):
    return {
        "schema": "calibkit.evaluation/1",
        "name": name,
        "n": 12345,
        "n_classes": 10,
        "view": "top-label",
        "settings": {
            "n_bins": 3,
            "binning": "uniform",
            "edges": "right",
            "confidence_level": 0.95,
            "seed": 7,
            "interval": "t for means, bracket for ECE",
            "brier_scale": "sum over classes, 0 to 2",
            "input": "logits",
        },
        "metrics": {
            "accuracy": estimate(0.9505, 0.9461, 0.9546),
            "mean_confidence": estimate(0.98934, 0.98811, 0.99057),
            "gap": estimate(0.0388447, 0.0345, 0.0431),
            "ece": estimate(0.0435432, 0.0389, 0.0474),
            "rmsce": estimate(0.06117),
            "mce": estimate(0.394259),
            "nll": estimate(0.41212, 0.372, 0.4523),
            "brier": estimate(0.0921774, 0.0843, 0.1001),
        },
        "reliability": {
            "view": "top-label",
            "edges": [0.0, 1 / 3, 2 / 3, 1.0],
            "count": [0, 45, 12300],
            "confidence": [None, 0.5625, 0.991],
            "accuracy": [None, 0.4375, 0.9525],
            "low": [None, 0.31, 0.9486],
            "high": [None, 0.57, 0.9561],
        },
        "verdict": "Over-confident: ECE 0.03890 to 0.04740, T* 2.498.",
        "notes": ["3 rows tie for the most probable class; the lowest class index counts as predicted."],
    } | changes


def positive():
    metrics = {
        "accuracy": estimate(0.6712, 0.66, 0.68),
        "base_rate": estimate(0.5717, 0.56, 0.58),
        "mean_confidence": estimate(0.5242, 0.52, 0.53),
        "gap": estimate(-0.0475, -0.057, -0.037),
    }
    return evaluation("nba", view="positive", n_classes=2, metrics=metrics)


def difference(value, low=None, high=None, p_value=None, **more):
    return {"value": value, "low": low, "high": high, "p_value": p_value} | more


def comparison(**changes):
    names = ("hard", "smooth")
    before = {
        "accuracy": difference(-0.0013, -0.0054, 0.0029, 0.5417),
        "ece": difference(-0.0280304, -0.0331, -0.0242, 1e-9),
        "mce": difference(-0.23855),
        "nll": difference(-0.236616, -0.2688, -0.2045, 1e-20),
    }
    after = {
        "accuracy": difference(-0.0013, -0.0054, 0.0029, 0.5417),
        "ece": difference(-0.0040163, -0.0095, 0.0002, 0.0612),
        "mce": difference(0.0307),
        "nll": difference(-0.0299812, -0.042, -0.0179, 3e-5),
    }
    models = {name: evaluation(name) for name in names}
    return {
        "schema": "calibkit.comparison/1",
        "reference": "hard",
        "models": models,
        "differences": {"smooth": before},
        "temperature": {
            "hard": {"value": 2.49812, "low": 2.423, "high": 2.572, "source": "fitted on 5,000 calibration rows"},
            "smooth": {"value": 0.6312, "low": 0.61, "high": 0.66, "source": "fitted on 5,000 calibration rows"},
        },
        "scaled": {"models": models, "differences": {"smooth": after}},
        "verdict": ["smooth has the better log score by 0.2366 nats.", "About these checkpoints."],
        "notes": ["After scaling, each temperature is held fixed."],
    } | changes


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0435432, "0.04354"),
        (0.9505, "0.9505"),
        (0.99996, "1.000"),
        (0.000123456, "0.0001235"),
        (0.0000999951, "0.0001000"),
        (0.0000123456, "1.235e-05"),
        (12.3456, "12.35"),
        (9999.6, "10000"),
        (123456.7, "123457"),
        (999999.7, "1.000e+06"),
        (-2.49812, "-2.498"),
        (0.0, "0"),
        (-0.0, "0"),
        (2, "2.000"),
        (math.inf, "inf"),
        ("-inf", "-inf"),
        ("nan", "nan"),
        (None, "none"),
    ],
)
def test_a_number_has_four_significant_digits(value, shown):
    assert render.format_number(value) == shown


@given(st.floats(1e-300, 1e300), st.booleans())
def test_a_shown_number_is_the_number_to_half_a_unit_of_its_fourth_digit(size, negative):
    value = -size if negative else size
    assert float(render.format_number(value)) == pytest.approx(value, rel=5.0001e-4)
    assert float(render.format_number(value, signed=True)) == float(render.format_number(value))
    assert render.format_number(value, signed=True)[0] == ("-" if negative else "+")


def test_signs_intervals_and_p_values():
    assert render.format_number(0.0, signed=True) == "0"
    assert render.format_number(math.nan, signed=True) == "nan"
    assert render.format_interval(-0.0242, 0.0331, signed=True) == "[-0.02420, +0.03310]"
    assert render.format_interval(0.1, None) == "none"
    assert [render.format_p(p) for p in (0.0009999, 0.001, 0.0412, 1.0)] == ["< 0.001", "= 0.001", "= 0.041", "= 1.000"]
    assert render.format_p(None) == "none"
    assert [render.format_percent(level) for level in (0.95, 0.9, 0.999)] == ["95%", "90%", "99.9%"]


def test_plain_numbers_are_strict_json():
    values = [render.plain_number(value) for value in (None, math.inf, -math.inf, math.nan, 0.25)]
    assert json.loads(json.dumps(values, allow_nan=False)) == [None, "inf", "-inf", "nan", 0.25]


@given(st.text(st.characters(), max_size=300))
def test_sanitised_text_is_one_harmless_line(text):
    shown = render.sanitise(text)
    shown.encode("utf-8")
    assert len(shown) <= 200
    hidden = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}}
    assert hidden <= {"\u200c", "\u200d"}


def test_sanitising_shows_what_it_disarms_and_keeps_the_rest():
    assert render.sanitise(HOSTILE) == SHOWN
    assert render.sanitise("a\x00b\ud800c\u2028d\x9b") == "aU+0000bU+D800cU+2028dU+009B"
    plain = "Übermodell 模型 👩\u200d🔬 = 1.5"
    assert render.sanitise(plain) == plain
    assert render.sanitise("m" * 1_000_000) == "m" * 199 + "…"
    assert render.sanitise("m" * 200) == "m" * 200


def test_an_evaluation_says_everything_at_eighty_columns():
    text = render.evaluation_text(evaluation())
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("hard: 12,345 rows, 10 classes, top-label view\n")
    lines = {line.split("  ")[0]: line for line in text.splitlines() if line}
    assert lines["accuracy"].split()[1:4] == ["0.9505", "[0.9461,", "0.9546]"]
    assert lines["gap"].split()[1:4] == ["+0.03884", "[+0.03450,", "+0.04310]"]
    assert lines["ECE"].split()[1:4] == ["0.04354", "[0.03890,", "0.04740]"]
    assert lines["MCE"].split()[1:3] == ["0.3943", "none"]
    flowing = " ".join(text.split())
    assert "Verdict: Over-confident: ECE 0.03890 to 0.04740, T* 2.498." in flowing
    assert "3 equal-width bins (lo, hi]; ECE is the l1 norm; NLL in nats" in flowing
    assert "Brier score: sum over classes, 0 to 2; intervals: t for means, bracket for ECE" in flowing
    assert "input: logits; seed 7." in flowing
    assert "Notes: 3 rows tie" in flowing
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_the_table_says_how_each_number_is_read():
    text = render.evaluation_text(evaluation())
    assert re.search(r"gap .*\+ over-, - under-confident", text)
    assert re.search(r"accuracy .*higher is better", text)
    assert re.search(r"NLL .*nats, lower is better", text)
    forecast = render.evaluation_text(positive())
    assert re.search(r"gap +-0\.04750.*\+ forecasts too high, - too low", forecast)
    assert re.search(r"base rate +0\.5717", forecast)
    assert re.search(r"mean P\(y = 1\) +0\.5242.*calibrated: equals base rate", forecast)
    assert max(map(len, forecast.splitlines())) <= 80


def test_without_intervals_there_is_no_interval_column():
    settings = evaluation()["settings"] | {"confidence_level": None, "interval": None}
    bare = {name: estimate(e["value"]) for name, e in evaluation()["metrics"].items()}
    text = render.evaluation_text(evaluation(settings=settings, metrics=bare, verdict=None, notes=[]))
    assert "interval" not in text
    assert "none" not in text
    assert "Verdict" not in text
    assert "Notes" not in text


def test_another_level_and_other_bins_are_said():
    settings = evaluation()["settings"] | {"confidence_level": 0.9, "binning": "quantile", "edges": "left", "n_bins": 1}
    text = render.evaluation_text(evaluation(settings=settings))
    assert "90% interval" in text
    assert "1 equal-count bin [lo, hi)" in text


def test_small_and_unknown_things_are_said_plainly():
    metrics = {"accuracy": estimate(1.0, 0.2, 1.0), "nll": estimate("inf")}
    text = render.evaluation_text(evaluation(n=1, n_classes=None, metrics=metrics))
    assert text.startswith("hard: 1 row, top-label view\n")
    assert re.search(r"^NLL +inf +none", text, re.MULTILINE)
    assert "Brier" not in text


def test_a_hostile_name_is_text_everywhere():
    text = render.evaluation_text(evaluation(HOSTILE), width=200)
    assert SHOWN in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=200)
    render.print_evaluations([evaluation(HOSTILE)], console)
    escapes = re.findall(r"\x1b\[[0-9;]*m", console.file.getvalue())
    assert len(escapes) == console.file.getvalue().count("\x1b")
    assert "\x07" not in console.file.getvalue()


def test_several_evaluations_stand_side_by_side():
    other = evaluation("smooth", n=99, verdict="Under-confident.", notes=["Weighted rows."])
    other["metrics"] = {"accuracy": estimate(0.9502, 0.9458, 0.9543)}
    text = render.evaluations_text([evaluation(), other])
    rows = {line.split("  ")[0]: re.split(r" {2,}", line) for line in text.splitlines() if line}
    assert rows["metric"][1:] == ["hard", "smooth"]
    assert rows["rows"][1:] == ["12,345", "99"]
    assert rows["ECE"][-1] == "not defined"
    assert re.search(r"^accuracy +0\.9505 +\[0\.9461, 0\.9546\] +0\.9502 \[0\.9458, 0\.9543\]$", text, re.MULTILINE)
    flowing = " ".join(text.split())
    assert "- hard: Over-confident" in flowing
    assert "- smooth: Under-confident." in flowing
    assert "- smooth: Weighted rows." in flowing
    assert render.evaluations_text([other]) == render.evaluation_text(other)


def test_what_does_not_fit_follows_below_with_the_metrics_repeated():
    names = ("hard", "smooth", "a_very_long_model_name/of/a/checkpoint_epoch_199_seed_3_final")
    text = render.evaluations_text([evaluation(name) for name in names])
    assert max(map(len, text.splitlines())) <= 80
    assert len(re.findall(r"^ECE ", text, re.MULTILINE)) == 2
    wide = render.evaluations_text([evaluation(name) for name in names[:2]], width=160)
    assert len(re.findall(r"^ECE ", wide, re.MULTILINE)) == 1


def test_a_note_that_all_share_is_said_once():
    other = evaluation("smooth", notes=[*evaluation()["notes"], "Weighted rows."])
    flowing = " ".join(render.evaluations_text([evaluation(), other]).split())
    assert flowing.count("3 rows tie") == 1
    assert "- 3 rows tie" in flowing
    assert "- smooth: Weighted rows." in flowing


def test_conventions_that_differ_carry_the_models_name():
    other = evaluation("smooth", settings=evaluation()["settings"] | {"input": "probs"})
    flowing = " ".join(render.evaluations_text([evaluation(), other]).split())
    assert re.search(r"- hard: 3 equal-width .*?input: logits", flowing)
    assert re.search(r"- smooth: 3 equal-width .*?input: probs", flowing)


def test_a_comparison_shows_before_and_after_and_the_differences():
    text = render.comparison_text(comparison())
    assert max(map(len, text.splitlines())) <= 80
    assert "Comparison of 2 models on the same rows: 12,345 rows" in text
    assert text.index("As saved") < text.index("After temperature scaling") < text.index("Difference: smooth - hard")
    assert re.search(r"^temperature +2\.498 +\[2\.423, 2\.572\] +0\.6312 +\[0\.6100, 0\.6600\]$", text, re.MULTILINE)
    assert re.search(r"^ECE +as saved +-0\.02803 +\[-0\.03310, -0\.02420\] +< 0\.001$", text, re.MULTILINE)
    assert re.search(r"^ +scaled +-0\.004016 +\[-0\.009500, \+0\.0002000\] +0\.061$", text, re.MULTILINE)
    assert re.search(r"^MCE +as saved +-0\.2386 +none +none$", text, re.MULTILINE)
    flowing = " ".join(text.split())
    assert "- smooth has the better log score by 0.2366 nats. - About these checkpoints." in flowing
    assert "Temperatures: fitted on 5,000 calibration rows." in flowing
    assert "- After scaling, each temperature is held fixed." in flowing


def test_a_comparison_without_scaling_has_one_table_and_no_scores_column():
    text = render.comparison_text(comparison(scaled=None, temperature={}))
    assert "scaled" not in text
    assert "After temperature" not in text
    assert re.search(r"^ECE +-0\.02803 +\[-0\.03310, -0\.02420\] +< 0\.001$", text, re.MULTILINE)


def test_more_models_show_adjusted_p_values():
    adjusted = {"ece": difference(0.0123, 0.002, 0.022, 0.0171, adjusted_p_value=0.0342)}
    text = render.comparison_text(comparison(scaled=None, differences={"smooth": adjusted, "c": adjusted}))
    assert "Holm p" in text
    assert "0.034" in text
    assert "0.017" not in text
    assert "Difference: c - hard" in text


def test_one_model_is_shown_before_and_after_in_one_table():
    one = {"hard": evaluation()}
    text = render.comparison_text(
        comparison(models=one, differences={}, scaled={"models": one, "differences": {}}, verdict=["hard: Over."])
    )
    assert "Before and after temperature scaling" in text
    assert re.search(r"^metric +as saved +after scaling$", text, re.MULTILINE)
    assert re.search(r"^temperature +1 +2\.498 +\[2\.423, 2\.572\]$", text, re.MULTILINE)
    assert "Difference" not in text


def test_temperatures_of_different_sources_are_told_apart():
    temperature = comparison()["temperature"]
    temperature["smooth"] = temperature["smooth"] | {"source": "fitted on 80 calibration rows"}
    flowing = " ".join(render.comparison_text(comparison(temperature=temperature)).split())
    assert "Temperature of hard: fitted on 5,000 calibration rows." in flowing
    assert "Temperature of smooth: fitted on 80 calibration rows." in flowing


@pytest.mark.parametrize(
    ("show", "result"),
    [
        (render.print_evaluations, [evaluation()]),
        (render.print_evaluations, [evaluation(), evaluation("smooth")]),
        (render.print_comparison, comparison()),
    ],
)
def test_colour_decorates_the_same_text_and_no_color_is_respected(show, result, monkeypatch):
    def shown(**options):
        console = Console(file=io.StringIO(), width=80, **options)
        show(result, console)
        return console.file.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = shown(force_terminal=True, color_system="standard"), shown(color_system=None)
    monkeypatch.setenv("NO_COLOR", "1")
    colourless = shown(force_terminal=True, color_system="standard")

    def colours(text):
        return [code for code in re.findall(r"\x1b\[([0-9;]*)m", text) if re.search(r"(^|;)[39][0-7]", code)]

    assert colours(coloured)
    assert not colours(colourless)
    assert "\x1b" not in plain
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in stripped.splitlines()] == [line.rstrip() for line in plain.splitlines()]


def cells_of(line):
    return re.split(r"(?<!\\)\|", line)[1:-1]


@pytest.mark.parametrize(
    "result",
    [
        evaluation(HOSTILE),
        {"schema": "calibkit.evaluations/1", "evaluations": [evaluation(HOSTILE), evaluation("b")]},
        comparison(models={"hard": evaluation(HOSTILE), "smooth": evaluation("smooth")}),
    ],
)
def test_markdown_tables_are_whole_and_names_are_no_markup(result):
    text = render.markdown(result)
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert tables
    for table in tables:
        header, rule, *body = table.splitlines()
        assert set(cells_of(rule)) <= {" :-- ", " --: "}
        assert {len(cells_of(line)) for line in body} == {len(cells_of(header))}
    assert not re.search(r"(?<!\\)<script", text)
    assert not re.search(r"(?<!\\)\*b", text)
    assert "0.04354 [0.03890, 0.04740]" in text or "| 0.04354 | [0.03890, 0.04740] |" in text


def test_markdown_escapes_what_acts_and_leaves_numbers_alone():
    text = render.markdown(evaluation("_a_b [x](http://y) #1"))
    assert text.startswith("**\\_a_b [x\\](http://y) \\#1**: 12,345 rows")
    assert "\\[0" not in text


def test_json_is_strict_ascii_and_complete():
    result = comparison(notes=["Zoë\x1b", HOSTILE])
    text = render.to_json(result)
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text) == result
    with pytest.raises(ValueError, match="not JSON compliant"):
        render.to_json({"nll": math.inf})


def test_the_bin_table_is_csv_in_full_precision():
    other = evaluation("b", view="classwise")
    other["reliability"] = other["reliability"] | {"low": None, "high": None}
    rows = list(csv.DictReader(io.StringIO(render.bin_table_csv([evaluation("a, b"), other]))))
    assert [row["name"] for row in rows] == ["a, b"] * 3 + ["b"] * 3
    assert [int(row["count"]) for row in rows[:3]] == [0, 45, 12300]
    assert [float(row["low_edge"]) for row in rows[:3]] == [0.0, 1 / 3, 2 / 3]
    assert float(rows[1]["gap"]) == 0.125
    assert float(rows[1]["accuracy_low"]) == 0.31
    assert float(rows[2]["accuracy_high"]) == 0.9561
    assert {rows[0][key] for key in ("confidence", "accuracy", "gap", "accuracy_low", "accuracy_high")} == {""}
    assert rows[4]["accuracy_low"] == ""
    assert rows[4]["view"] == "top-label"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tcmd", "\rcmd"])
def test_no_spreadsheet_runs_a_name(name):
    rows = list(csv.reader(io.StringIO(render.bin_table_csv([evaluation(name)]))))
    assert rows[1][0] == "'" + render.sanitise(name)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_any_width_holds_every_number(width):
    text = render.evaluation_text(evaluation(), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert {"0.9505", "0.04354", "0.3943", "0.4121"} <= set(text.split())


def test_results_without_metrics_or_differences_are_still_shown():
    assert "0 equal" not in render.evaluation_text(evaluation(metrics={}))
    empty = comparison(scaled=None, temperature={}, differences={"smooth": {}})
    assert "Difference: smooth - hard" in render.comparison_text(empty)

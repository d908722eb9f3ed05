"""`calibkit plot`: pictures by extension, refusals before anything is written."""

import re

import numpy as np
import pytest

import calibkit as ck
from tests.test_shards import cut, rows


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Three shards, a state of the first two and one of the third."""
    monkeypatch.chdir(tmp_path)
    for number, part in enumerate(cut(rows(n=600), 3)):
        np.savez(f"shard-{number}.npz", **part)
    ck.state_of_files(["shard-0.npz", "shard-1.npz"]).save("a.ckst")
    ck.state_of_files("shard-2.npz").save("b.ckst")
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """The evaluations that were drawn."""
    seen, figure = [], ck.plots.reliability_figure

    def record(evaluations, **options):
        seen.extend(evaluations)
        return figure(evaluations, **options)

    monkeypatch.setattr("calibkit.plots.reliability_figure", record)
    return seen


@pytest.mark.parametrize(("extension", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_extension_decides(run, pair, tmp_path, extension, magic):
    out = tmp_path / f"reliability.{extension}"
    done = run("plot", pair["sharp"], pair["true"], "-o", out)
    assert done.code == 0
    assert out.read_bytes().startswith(magic)
    assert str(out) in done.out


def test_models_can_share_a_diagram(run, pair, tmp_path):
    assert run("plot", *pair.values(), "-o", tmp_path / "both.png", "--overlay").code == 0


def test_the_curve_without_bins_takes_the_place_of_the_bars(run, pair, tmp_path):
    out = tmp_path / "corp.svg"
    assert run("plot", pair["sharp"], pair["true"], "-o", out, "--corp").code == 0
    text = re.sub(r"\s+", " ", out.read_text())
    assert "band: 95% of calibrated models" in text
    assert "whiskers: 95% intervals of the bins" in text


def test_the_band_may_be_that_of_the_true_curve(run, pair, tmp_path):
    out = tmp_path / "band.svg"
    assert run("plot", pair["sharp"], "-o", out, "--band", "confidence").code == 0
    assert "band: the true curve, 95% confidence" in re.sub(r"\s+", " ", out.read_text())
    other = tmp_path / "other.svg"
    assert run("plot", pair["sharp"], "-o", other, "--band", "consistency").code == 0
    assert "of calibrated models" in re.sub(r"\s+", " ", other.read_text())
    assert run("plot", pair["sharp"], "-o", tmp_path / "no.svg", "--band", "honest").code == 2


def test_bands_are_not_overlaid_and_flattened_pairs_have_none(run, pair, tmp_path):
    done = run("plot", *pair.values(), "-o", tmp_path / "both.png", "--overlay", "--corp")
    assert done.code == 2
    assert "overlaid" in done.err
    done = run("plot", pair["sharp"], "-o", tmp_path / "flat.png", "--corp", "--view", "flattened")
    assert done.code == 2
    assert "one pair a row" in done.err
    assert list(tmp_path.glob("*.png")) == []


def test_no_other_view_is_drawn_than_the_one_asked_for(run, pair, tmp_path):
    out = tmp_path / "view.svg"
    done = run("plot", tmp_path / "none.npz", "-o", out, "--view", "classwise")  # said before anything is read
    assert (done.code, out.exists()) == (2, False)
    assert "--view classwise has a diagram for each class, not one for all: draw --view flattened" in done.err
    for view in ("flattened", "top-label"):
        assert run("plot", pair["sharp"], "-o", out, "--view", view).code == 0
        text = re.sub(r"\s+", " ", out.read_text())
        assert f"{view} view" in text
        assert ("class probability" in text) == (view == "flattened")


def test_the_input_is_never_overwritten(run, pair):
    before = pair["sharp"].read_bytes()
    assert run("plot", pair["sharp"], "-o", pair["sharp"]).code == 5
    assert pair["sharp"].read_bytes() == before


def test_an_output_that_cannot_be_written(run, pair, tmp_path):
    assert run("plot", pair["sharp"], "-o", tmp_path / "none" / "r.png").code == 5
    assert run("plot", pair["sharp"]).code == 2


def test_a_state_is_drawn_as_its_evaluation_under_the_name_of_its_file(run, shards, drawn):
    done = run("plot", "a.ckst", "shard-2.npz", "-o", "mixed.svg", "--confidence-level", 0.9, "--seed", 7)
    assert (done.code, done.err) == (0, "")
    asked = {"confidence_level": 0.9, "rng": 7}
    assert drawn == [
        ck.CalibrationState.load("a.ckst").evaluation(name="a", **asked),
        ck.evaluate(ck.load("shard-2.npz", name="shard-2"), **asked),
    ]
    text = re.sub(r"\s+", " ", (shards / "mixed.svg").read_text())
    assert ">a</text>" in text or "<!-- a -->" in text
    assert "n = 400" in text
    assert run("plot", "a.ckst", "b.ckst", "--overlay", "--view", "top-label", "--bins", 15, "-o", "two.svg").code == 0


@pytest.mark.usefixtures("shards")
def test_files_and_states_together_are_one_test_set(run, drawn):
    whole = ck.evaluate("shard-*.npz")
    for files in (["shard-*.npz"], ["b.ckst", "a.ckst"], ["shard-2.npz", "a.ckst"]):
        done = run("plot", *files, "--together", "-o", "all.png")
        assert (done.code, done.err) == (0, "")
        one = drawn.pop()
        assert not drawn
        assert one.to_dict() | {"name": "shard"} == whole.to_dict()
    assert run("plot", "shard-*.npz", "--together", "-o", "all.png", "--bins", 4, "--view", "flattened").code == 0
    assert drawn == [ck.evaluate("shard-*.npz", n_bins=4, view="flattened")]


@pytest.mark.usefixtures("shards")
def test_the_bins_of_states_are_those_of_files_beside_them(run, drawn):
    ck.state_of_files("shard-0.npz", n_bins=4, edges="left").save("four.ckst")
    assert run("plot", "shard-1.npz", "shard-2.npz", "four.ckst", "--together", "-o", "all.png").code == 0
    assert drawn[0].reliability.count.tolist() == (
        ck.evaluate("shard-*.npz", n_bins=4, edges="left").reliability.count.tolist()
    )


def test_what_a_state_cannot_serve_is_refused(run, shards):
    ck.state_of_files("shard-0.npz", view="classwise").save("classes.ckst")
    ck.state_of_files("shard-0.npz", n_bins=4).save("four.ckst")
    ck.CalibrationState().save("none.ckst")
    np.savez("grouped.npz", **rows(n=20), groups=np.arange(20) // 2)
    for code, said, arguments in (
        (2, "a.ckst: was made with --bins 15, and its rows are gone: leave out --bins 4, or", ["a.ckst", "--bins", 4]),
        (2, "with --view top-label, and its rows are gone", ["a.ckst", "--together", "--view", "flattened"]),
        (2, "with --binning uniform", ["a.ckst", "--binning", "quantile"]),
        (2, "with --edges right", ["a.ckst", "shard-2.npz", "--edges", "left"]),
        (2, "classes.ckst: was made with --view classwise, which has a diagram for each class", ["classes.ckst"]),
        (2, "need rows, and a.ckst is a state", ["shard-0.npz", "a.ckst", "--corp"]),
        (2, "need rows, and the FILEs of --together become a state", ["shard-*", "--together", "--band", "confidence"]),
        (2, "--label-base is for reading predictions, and a.ckst is a state", ["a.ckst", "--label-base", 1]),
        (2, "--allow-duplicates is for --together", ["a.ckst", "--allow-duplicates"]),
        (4, "four.ckst: n_bins differs: 4 in the other, 15 in this state", ["b.ckst", "four.ckst", "--together"]),
        (4, "shard-1.npz (200 rows) is given twice", ["a.ckst", "shard-1.npz", "--together"]),
        (4, "none.ckst: the state holds no rows", ["none.ckst"]),
        (4, "shard-?.npz: is a pattern, not a file (it matches 3): --together", ["shard-?.npz"]),
        (4, "none-*: no file matches", ["none-*", "--together"]),
        (4, "grouped.npz", ["grouped.npz", "--together"]),
    ):
        done = run("plot", *arguments, "-o", "no.png")
        assert (done.code, done.out) == (code, "")
        assert said in " ".join(done.err.split())
    assert list(shards.glob("*.png")) == []
    assert run("plot", "a.ckst", "shard-1.npz", "--together", "--allow-duplicates", "-o", "twice.png").code == 0

"""`calibkit plot`: pictures by extension, refusals before anything is written."""

import re

import pytest


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

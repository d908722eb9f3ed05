"""`calibkit plot`: pictures by extension, refusals before anything is written."""

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


def test_the_input_is_never_overwritten(run, pair):
    before = pair["sharp"].read_bytes()
    assert run("plot", pair["sharp"], "-o", pair["sharp"]).code == 5
    assert pair["sharp"].read_bytes() == before


def test_an_output_that_cannot_be_written(run, pair, tmp_path):
    assert run("plot", pair["sharp"], "-o", tmp_path / "none" / "r.png").code == 5
    assert run("plot", pair["sharp"]).code == 2

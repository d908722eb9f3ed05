"""Rows 68 to 70 and 76: what names can do to a terminal, a table, a picture, a spreadsheet and a path."""

import csv
import json
import os
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import calibkit as ck
from calibkit import render
from tests.bad_inputs.samples import LABELS, LOGITS, is_refusal

NAMES = {
    "html": '<b onload="x">&amp;</b></script><script>alert(1)</script>',
    "quotes": "a\"b'c`d",
    "right to left": "net\u202egnp.exe\u2066",
    "NUL": "a\0b",
    "surrogate": "a\udcffb",
    "emoji": "net \U0001f600 \u7f51\u7edc",
    "escape": "\x1b]0;owned\x07\x1b[31mred\x9b2J",
    "newline": "one\ntwo\r\nthree\ttab\u2028line",
    "markup": "[red]x[/red] :smile: [link=file:///]y[/link]",
    "markdown": "a|b *c* _d_ [e](f) `g` \\",
    "mathtext": r"$\frac{1}$ $ % \alpha_x^2 {",
    "underscore": "_private",
    "empty": "",
    "spaces": "   ",
    "megabyte": "x" * 1_000_000,
}


def harmless(text):
    """No character that a terminal would obey, but line ends."""
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.fixture
def model():
    def model_(name, factor=1.0):
        return ck.Predictions.from_logits(LABELS, factor * LOGITS, name=name)

    return model_


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_row_68_names_in_text(model, name):
    result = ck.evaluate(model(name))
    assert result.name == (name or "predictions")
    pair = ck.compare({name: model(None), "other": model(None, 2.0)})
    for text in (str(result), str(pair), render.markdown(result.to_dict()), render.markdown(pair.to_dict())):
        assert harmless(text)
        assert "\u202e" not in text
        text.encode("utf-8")
        assert len(text) < 40_000
    for shown in (result, pair):
        assert json.loads(render.to_json(shown.to_dict())) == json.loads(json.dumps(shown.to_dict()))
        assert render.to_json(shown.to_dict()).isascii()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_row_68_names_in_markdown_stay_cells(model, name):
    tables = [render.markdown(ck.evaluate(model(name)).to_dict())]
    tables.append(render.markdown(ck.compare({name: model(None), "b": model(None, 2.0)}).to_dict()))
    for text in tables:
        for block in text.split("\n\n"):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            bars = {line.replace("\\|", "").count("|") for line in lines}
            assert len(bars) <= 1, block


@pytest.mark.parametrize("key", ["html", "emoji", "mathtext", "megabyte"])
def test_row_68_names_in_a_comparison_s_picture(model, key, tmp_path):
    from calibkit.plots import comparison_figure, save_figure

    path = tmp_path / "a.svg"
    save_figure(comparison_figure(ck.compare({NAMES[key]: model(None), "other": model(None, 2.0)})), path)
    ET.parse(path)
    assert b"<script" not in path.read_bytes()
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize(("extension", "overlay"), [("svg", True), ("png", False)])
def test_row_68_all_names_in_one_picture(model, tmp_path, extension, overlay):
    from calibkit.plots import reliability_figure, save_figure

    path = tmp_path / f"a.{extension}"
    models = [ck.evaluate(model(name)) for name in NAMES.values()]
    save_figure(reliability_figure(models, overlay=overlay), path)
    assert 10_000 < path.stat().st_size < 2_000_000
    assert extension == "png" or ET.parse(path)
    assert b"<script" not in path.read_bytes()


@pytest.mark.parametrize("name", [*NAMES.values(), "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", 'a,"b",c'])
def test_row_69_names_in_csv(model, name):
    text = render.bin_table_csv([ck.evaluate(model(name)).to_dict()])
    rows = list(csv.reader(text.splitlines()))
    assert len(rows) == 16
    assert {len(row) for row in rows} == {10}
    assert harmless(text)
    for row in rows[1:]:
        assert row[0][:1] not in ("=", "+", "-", "@", "\t", "\r")
        assert len(row[0]) <= 201


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+x", "-x"])
def test_row_69_on_the_command_line(run, tmp_path, name):
    np.savez(tmp_path / f"{name}.npz", labels=LABELS, logits=LOGITS)
    assert run("evaluate", tmp_path / f"{name}.npz", "--table", tmp_path / "bins.csv").code == 0
    assert (tmp_path / "bins.csv").read_text().splitlines()[1].startswith(f"'{name},top-label")


EVIL = "\x1b]0;owned\x07\x1b[31m\u202ered\nline"


@pytest.fixture
def evil_files(tmp_path):
    files = {"named": tmp_path / f"{EVIL}.npz", "keyed": tmp_path / "keyed.npz", "own": tmp_path / "own.npz"}
    np.savez(files["named"], labels=LABELS, logits=LOGITS)
    np.savez(files["keyed"], **{"labels": LABELS, f"x{EVIL}": LOGITS})
    ck.save(ck.Predictions.from_logits(LABELS, LOGITS, name=EVIL, ids=[f"{EVIL}{i}" for i in range(4)]), files["own"])
    files["csv"] = tmp_path / "columns.csv"
    files["csv"].write_bytes(f'label,"p{EVIL}"\n1,0.5\n'.encode().replace(b"\n", b"", 1))
    files["text"] = tmp_path / "text.csv"
    files["text"].write_text('label,p\n1,"\x1b[31mred"\n')
    files["short"] = tmp_path / f"short{EVIL}.npz"
    np.savez(files["short"], labels=LABELS[:3], logits=LOGITS[:3])
    return files


def test_row_70_terminal_escapes(run, evil_files, tmp_path):
    picture, bins = tmp_path / f"{EVIL}.png", tmp_path / f"{EVIL}.csv"
    commands = [
        ("evaluate", path, *flags) for path in evil_files.values() for flags in ([], ["--markdown"], ["--labels", EVIL])
    ]
    commands += [("inspect", path) for path in evil_files.values()]
    commands += [
        ("compare", evil_files["named"], evil_files["short"]),
        ("compare", evil_files["named"], evil_files["own"]),
        ("compare", evil_files["named"], "--reference", EVIL),
        ("compare", evil_files["named"], "--reference", f"x{EVIL}"),
        ("plot", evil_files["named"], "-o", picture),
        ("plot", evil_files["named"], "-o", f"{picture}.jpg"),
        ("evaluate", evil_files["named"], "--table", bins),
        ("evaluate", evil_files["named"], "--table", tmp_path / EVIL / "x.csv"),
        ("evaluate", evil_files["named"], "--table", evil_files["named"]),
        ("evaluate", evil_files["named"], "--view", EVIL),
        ("evaluate", evil_files["named"], "--bins", EVIL),
        ("evaluate", evil_files["named"], f"--{EVIL}"),
        ("evaluate", f"no{EVIL}"),
        ("evaluate", evil_files["keyed"], "--logits", f"x{EVIL}"),
        ("evaluate", evil_files["keyed"], "--labels-file", f"{EVIL}:{EVIL}", "--logits", f"x{EVIL}"),
        (EVIL,),
    ]
    for command in commands:
        done = run(*command)
        assert done.code in (0, 2, 4, 5), command
        assert harmless(done.out + done.err), command
        assert "\u202e" not in done.out + done.err, command
        assert "owned" in done.out + done.err or "red" in done.out + done.err or done.code == 0 or "p" in done.err
    assert picture.exists()
    assert bins.exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_row_70_a_terminal_that_cannot_show_the_name(tmp_path, encoding):
    from tests.bad_inputs.samples import in_shell

    path = tmp_path / "net \U0001f600 \u7f51.npz"
    np.savez(path, labels=LABELS, logits=LOGITS)
    done = in_shell("evaluate", path, env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("\U0001f600".encode(encoding, "backslashreplace")) in done.stdout


PATHS = {
    "space": "a b  c",
    "newline": "a\nb",
    "not UTF-8": os.fsdecode(b"a\xff\xfeb"),
    "255 bytes": "x" * 251,
    "emoji": "\U0001f600" * 20,
    "quotes": "a'b\"c",
    "equals": "labels=smooth,clip=0.1",
    "colon": "a:b",
    "dots": "..a..b",
    "glob": "*[a]?{b}",
    "dollar": "$HOME",
    "tilde": "~root",
    "percent": "%s%n{}",
}


@pytest.mark.skipif(sys.platform == "win32", reason="these names are not allowed there")
@pytest.mark.parametrize("stem", PATHS.values(), ids=PATHS)
def test_row_76_paths(run, tmp_path, stem, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = ck.Predictions.from_logits(LABELS, LOGITS)
    path, bins, picture = f"{stem}.npz", f"{stem}.csv", f"{stem}.png"
    ck.save(model, path)
    assert ck.load(path, name="x") == model.with_name("x")
    assert ck.load(os.fsencode(path), name="x") == model.with_name("x")
    assert json.loads(run("evaluate", path, "--json", "--table", bins).out)["name"] == stem
    assert run("plot", path, "-o", picture).code == 0
    assert run("compare", path, path).code == 0
    assert run("inspect", path).code == 0
    np.save(f"{stem}.npy", LABELS)
    np.save("z.npy", LOGITS)
    for labels in (f"{stem}.npy", f"{stem}.npy:array"):
        assert run("evaluate", "z.npy", "--logits", "array", "--labels-file", labels).code == 0
    written = {path, bins, picture, f"{stem}.npy", "z.npy"}
    assert {entry.name for entry in tmp_path.iterdir()} == written


@pytest.mark.parametrize("files", [["a (2).npz", "a.npz", "a.csv"], ["a.npz"] * 3, ["a.csv", "a (2).npz", "a.npz"]])
def test_row_76_every_file_has_a_name_of_its_own(run, tmp_path, files):
    model = ck.Predictions.from_logits(LABELS, LOGITS)
    for file in {name for name in files if name.endswith("npz")}:
        ck.save(model, tmp_path / file)
    (tmp_path / "a.csv").write_text("label,logits_0,logits_1\n0,0.5,0.25\n")
    result = json.loads(run("evaluate", *(tmp_path / file for file in files), "--json").out)
    assert len({one["name"] for one in result["evaluations"]}) == 3


def test_row_76_paths_that_look_like_options_are_shown_as_they_are(run, tmp_path):
    folder = tmp_path / "clip=0.1,labels=smooth"
    folder.mkdir()
    np.savez(folder / "weights=1.npz", labels=LABELS + 1, logits=LOGITS)
    np.savez(folder / "weights=2.npz", labels=LABELS[:3], logits=LOGITS[:3])
    np.savez(folder / "weights=3.npz", labels=LABELS, logits=LOGITS)
    first = folder / "weights=1.npz"
    is_refusal(run("evaluate", first), 4, f"{first}: labels row 2: value is 3", "Pass --label-base 1")
    done = run("compare", folder / "weights=3.npz", folder / "weights=2.npz")
    is_refusal(done, 4, "weights=3 has 4 rows and weights=2 has 3")

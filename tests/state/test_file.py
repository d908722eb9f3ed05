"""The file of a state: it comes back whole, the same state gives the same bytes, and nothing else is read."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import InputFormatError, OutputError
from calibkit.state.file import MAGIC
from tests.state.samples import KINDS, predictions, state_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ckst"


def taken_apart(path):
    """Header and arrays of a file, by its description in docs/state-file.md."""
    content = path.read_bytes()
    assert content[:8] == b"CKSTATE\n"
    stop = 16 + int.from_bytes(content[8:16], "little")
    assert content[-32:] == hashlib.sha256(content[:-32]).digest()
    return json.loads(content[16:stop]), content[stop:-32]


def put_together(path, header, body):
    """A file of any header and arrays, with its right checksum."""
    text = json.dumps(header).encode()
    content = MAGIC + len(text).to_bytes(8, "little") + text + body
    path.write_bytes(content + hashlib.sha256(content).digest())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_comes_back(path, kind, weighted):
    for rows in (predictions(kind, 400, weighted=weighted), predictions(kind, 0, weighted=weighted)):
        state = state_of(rows).named("shard-0.npz")
        state.save(path)
        back = ck.CalibrationState.load(path)
        assert back == state
        assert back.digest == state.digest
        assert back.evaluation() == state.evaluation()


def test_a_state_without_rows_comes_back(path):
    state = ck.CalibrationState(n_bins=10, edges="left", view="positive", n_classes=2)
    state.save(path)
    back = ck.CalibrationState.load(path)
    assert back == state
    assert back.settings == state.settings


def test_a_state_that_was_read_goes_on(path):
    rows, more = predictions("probs", 300), predictions("probs", 200, seed=1)
    state_of(rows).save(path)
    back = ck.CalibrationState.load(path)
    back.update(more)
    assert back.digest == state_of(rows, more).digest


def test_equal_states_have_equal_bytes(tmp_path):
    rows = predictions("logits", 300)
    order = np.random.default_rng(1).permutation(300)
    state_of(rows).save(tmp_path / "a.ckst")
    state_of(rows.take(order[:100]), rows.take(order[100:])).save(tmp_path / "b.ckst")
    assert (tmp_path / "a.ckst").read_bytes() == (tmp_path / "b.ckst").read_bytes()


def test_the_file_is_what_the_docs_say(path):
    rows = predictions("correct", 50)
    state_of(rows).named("a.npz").save(path)
    header, body = taken_apart(path)
    assert (header["format"], header["grid"]) == ("calibkit.state/1", 1)
    assert header["sources"][0]["name"] == "a.npz"
    assert header["facts"]["n"] == 50
    arrays, start = {}, 0
    for name, shape in header["arrays"]:
        size = int(np.prod(shape))
        arrays[name] = np.frombuffer(body, "<i8", size, start).reshape(shape)
        start += 8 * size
    assert start == len(body)
    assert arrays["count"].sum() == 50
    top, high, middle, low, beyond = arrays["forecast"].astype(object)
    total = sum((((top * 2**34) + high) * 2**34 + middle) * 2**34 + low)
    assert total / 2**96 == pytest.approx(rows.confidence.sum(), rel=1e-15)
    assert not beyond.any()
    least, largest = arrays["extent"].view(np.float64)
    assert (-least.max(), largest.max()) == (rows.confidence.min(), rows.confidence.max())


def test_the_page_names_every_key_and_array(path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "state-file.md").read_text()
    arrays = {
        name for row in re.findall(r"^\| (`.*?`) \| \(", page, flags=re.M) for name in re.findall(r"`(\w+)`", row)
    }
    written = set()
    for kind, options in (("probs", {}), ("probs", {"view": "classwise"}), ("correct", {"binning": "quantile"})):
        for weighted in (False, True) if options == {} else (False,):
            state_of(predictions(kind, 30, weighted=weighted), **options).save(path)
            header, _ = taken_apart(path)
            written |= {name for name, _ in header["arrays"]}
            keys = re.findall(r"^\| `(\w+)` \| [^(]", page, flags=re.M)
            assert set(keys) == header.keys()
            assert all(f"`{key}`" in page for key in header["settings"])
    assert arrays == written


def test_damage_anywhere_is_seen(path):
    state_of(predictions("correct", 20)).save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in [*range(40), *rng.integers(0, len(content), 60), len(content) - 1]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(InputFormatError, match=r"a\.ckst: (is truncated or damaged|is not a file of a calibkit)"):
            ck.CalibrationState.load(path)
    for length in (1, 7, 8, 20, 60, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputFormatError, match=r"a\.ckst"):
            ck.CalibrationState.load(path)
    path.write_bytes(b"")
    with pytest.raises(InputFormatError, match="empty"):
        ck.CalibrationState.load(path)


@pytest.mark.parametrize(("key", "value"), [("format", "calibkit.state/2"), ("grid", 2)])
def test_another_version_is_named(path, key, value):
    state_of(predictions("correct", 20)).save(path)
    header, body = taken_apart(path)
    put_together(path, header | {key: value}, body)
    with pytest.raises(InputFormatError, match=f"{value}.*and this calibkit reads"):
        ck.CalibrationState.load(path)


def hostile(header):
    """Headers that no state has, one change each."""
    yield {key: value for key, value in header.items() if key != "settings"}
    for key in ("settings", "facts", "arrays", "sources", "notes"):
        yield header | {key: 7}
        yield header | {key: {"a": []}}
    yield header | {"settings": header["settings"] | {"n_bins": 10**9}}
    yield header | {"settings": header["settings"] | {"kind": "probs", "n_classes": 10**12}}
    yield header | {"settings": header["settings"] | {"kind": None}}
    yield header | {"settings": header["settings"] | {"weighted": True}}
    yield header | {"facts": header["facts"] | {"n": 21}}
    for fact, value in (("n", "20"), ("n_ties", None), ("like_probs", 1), ("first_label", 0.5), ("n_zero", -1)):
        yield header | {"facts": header["facts"] | {fact: value}}
    yield header | {"facts": header["facts"] | {"max_sum_deviation": "0"}}
    yield header | {"arrays": header["arrays"][:-1]}
    yield header | {"arrays": [[name, [10**15]] for name, _ in header["arrays"]]}
    yield header | {"arrays": [[name, [-1]] for name, _ in header["arrays"]]}


def test_a_header_that_no_state_has_is_refused(path):
    state_of(predictions("correct", 20)).save(path)
    header, body = taken_apart(path)
    for number, changed in enumerate(hostile(header)):
        put_together(path, changed, body)
        with pytest.raises(InputFormatError, match=r"a\.ckst"):
            print(number, ck.CalibrationState.load(path))
    put_together(path, [1], body)
    with pytest.raises(InputFormatError, match="header"):
        ck.CalibrationState.load(path)


def test_arrays_that_no_rows_could_have_left_are_refused(path):
    state_of(predictions("correct", 20)).save(path)
    header, body = taken_apart(path)
    n_cells = header["arrays"][0][1][0]
    numbers = np.frombuffer(body, "<i8")
    for position, value in ((0, -1), (n_cells - 1, 10**9), (1, 0), (n_cells, -5), (n_cells, 10**6), (-1, -2)):
        changed = numbers.copy()
        changed[position] = value
        put_together(path, header, changed.tobytes())
        with pytest.raises(InputFormatError, match=r"a\.ckst"):
            ck.CalibrationState.load(path)


def test_other_files_are_no_states(path):
    np.savez(path.with_suffix(".npz"), labels=[1, 0])
    with pytest.raises(InputFormatError, match=r"is not a file of a calibkit state"):
        ck.CalibrationState.load(path.with_suffix(".npz"))
    with pytest.raises((InputFormatError, FileNotFoundError), match="nowhere"):
        ck.CalibrationState.load(path.with_name("nowhere.ckst"))


def test_a_full_disk_leaves_the_file_and_the_state_as_they_were(path, monkeypatch):
    state = state_of(predictions("probs", 50))
    state.save(path)
    before, digest = path.read_bytes(), state.digest
    state.update(predictions("probs", 20, seed=1))

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.ckst.*No space left on device; nothing there was changed"):
        state.save(path)
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == ["a.ckst"]
    assert ck.CalibrationState.load(path).digest == digest


def test_the_second_of_two_writers_is_refused(path):
    from calibkit.files.atomic import atomic_write

    state = state_of(predictions("probs", 50))
    with atomic_write(path) as file:
        file.write(b"the first writer")
        with pytest.raises(OutputError, match="another process is writing it"):
            state.save(path)
    assert path.read_bytes() == b"the first writer"


def test_a_file_merged_with_itself_is_refused(path):
    state_of(predictions("probs", 50)).save(path)
    total = ck.CalibrationState.load(path)
    with pytest.raises(ck.DataError, match="same rows"):
        total.merge(ck.CalibrationState.load(path))


def test_two_processes_that_write_one_path_leave_one_whole_state(path):
    code = (
        "import sys, numpy as np, calibkit as ck\n"
        "state = ck.CalibrationState()\n"
        "state.update(ck.Predictions.from_correct(np.arange(40) % 3 > 0, np.arange(40) / 50 + float(sys.argv[2])))\n"
        "saved = 0\n"
        "while saved < 20:  # refused while the other one writes\n"
        "    try: state.save(sys.argv[1]); saved += 1\n"
        "    except ck.OutputError as error: assert 'another process is writing it' in str(error)\n"
        "print(state.digest)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), shift], stdout=subprocess.PIPE, text=True)
        for shift in ("0.01", "0.02")
    ]
    digests = [writer.communicate(timeout=100)[0].strip() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert ck.CalibrationState.load(path).digest in digests
    assert [other.name for other in path.parent.iterdir()] == ["a.ckst"]

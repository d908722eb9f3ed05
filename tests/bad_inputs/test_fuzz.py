"""Beyond the rows: seeded damage to every format. A file is read, or refused with a message that names it."""

import json
import time

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import CalibkitError
from tests.bad_inputs.formats import WRITERS, read
from tests.bad_inputs.samples import LABELS, LOGITS

ROUNDS = 60
NUMBERS = (0, 1, 2**31 - 1, 2**31, 2**40, 2**63 - 1, 2**64 - 1)
TOKENS = (b"NaN", b'"', b",", b"\n", b"\0", b"1e999", b"[[[[", b"}{", b"\xff\xfe", b"-", b"\xe2\x80\xae")


def write_csv(path):
    rows = [f"{label},{','.join(map(repr, row))}\n" for label, row in zip(LABELS, LOGITS.tolist(), strict=True)]
    path.write_text("label,logits_0,logits_1,logits_2\n" + "".join(rows))


def write_jsonl(path):
    rows = [{"label": int(label), "logits": row} for label, row in zip(LABELS, LOGITS.tolist(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def flip(rng, data, place):
    data[place] ^= 1 << int(rng.integers(8))


def cut(_, data, place):
    del data[place:]


def drop(rng, data, place):
    del data[place : place + int(rng.integers(1, 40))]


def blank(rng, data, place):
    end = min(len(data), place + int(rng.integers(1, 24)))
    data[place:end] = bytes([int(rng.choice([0, 255]))]) * (end - place)


def insert(rng, data, place):
    data[place:place] = rng.integers(0, 256, int(rng.integers(1, 24)), dtype=np.uint8).tobytes()


def repeat(rng, data, place):
    data[place:place] = data[place : place + int(rng.integers(1, 64))]


def number(rng, data, place):
    width = int(rng.choice([2, 4, 8]))
    data[place : place + width] = NUMBERS[rng.integers(len(NUMBERS))].to_bytes(8, "little")[:width]


def token(rng, data, place):
    data[place : place + 1] = TOKENS[rng.integers(len(TOKENS))]


DAMAGE = (flip, cut, drop, blank, insert, repeat, number, token)


@pytest.mark.parametrize("name", [*WRITERS, "net.csv", "net.jsonl"])
def test_damaged_files(tmp_path, name):
    path = tmp_path / name
    {**WRITERS, "net.csv": write_csv, "net.jsonl": write_jsonl}[name](path)
    np.save(tmp_path / "labels.npy", LABELS)
    whole = path.read_bytes()
    rng = np.random.default_rng(76)
    refusals = 0
    for turn in range(ROUNDS):
        data = bytearray(whole)
        DAMAGE[turn % len(DAMAGE)](rng, data, int(rng.integers(len(data))))
        path.write_bytes(data)
        began = time.perf_counter()
        try:
            ck.evaluate(read(path), confidence_level=None)
        except CalibkitError as error:
            refusals += 1
            assert str(error).isprintable(), (turn, str(error))  # noqa: PT017 - reading it well is right too
        assert time.perf_counter() - began < 5, turn
    assert refusals > ROUNDS / 10


def whole_or_blocks(path, **options):
    """What `load` and `scan` make of a file: predictions or None, each."""
    found = []
    for reader in (ck.load, lambda *given, **named: [*ck.scan(*given, block_rows=3, **named)]):
        try:
            found.append(reader(path, **options))
        except CalibkitError:
            found.append(None)
    return found


@pytest.mark.parametrize("name", [*WRITERS, "net.csv", "net.jsonl"])
def test_damaged_files_are_the_same_by_block(tmp_path, name):
    """A file that is refused whole is refused in blocks, the last of which is not the file's end then."""
    path = tmp_path / name
    {**WRITERS, "net.csv": write_csv, "net.jsonl": write_jsonl}[name](path)
    np.save(tmp_path / "labels.npy", LABELS)
    options = {"logits": "array", "labels_file": str(tmp_path / "labels.npy")} if path.suffix == ".npy" else {}
    data, rng = path.read_bytes(), np.random.default_rng(77)
    for turn in range(ROUNDS):
        damaged = bytearray(data)
        DAMAGE[turn % len(DAMAGE)](rng, damaged, int(rng.integers(len(damaged))))
        path.write_bytes(damaged)
        whole, blocks = whole_or_blocks(path, **options)
        assert blocks is None or whole is not None, turn
        if path.suffix != ".pt":  # of which all checksums are compared, while torch passes over some
            assert (whole is None) == (blocks is None), turn
        if blocks is not None:
            np.testing.assert_array_equal(np.concatenate([block.labels for block in blocks]), whole.labels)
            np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), whole.values)


def test_random_bytes_under_every_extension(tmp_path):
    rng = np.random.default_rng(7)
    starts = (b"", b"PK\x03\x04", b"\x93NUMPY\x01\0", b"ARROW1\0\0", b"PAR1", b"\xff\xff\xff\xff", b"{", b"label,p\n")
    for suffix in (".npz", ".npy", ".safetensors", ".pt", ".csv", ".parquet", ".feather", ".arrows", ".jsonl"):
        for start in starts:
            path = tmp_path / f"net{suffix}"
            path.write_bytes(start + rng.integers(0, 256, int(rng.integers(1, 400)), dtype=np.uint8).tobytes())
            with pytest.raises(CalibkitError) as caught:
                ck.load(path)
            assert str(caught.value).startswith(f"{path}")
            assert str(caught.value).isprintable()


KINDS = (np.float16, np.float32, np.float64)
ODD = (0.0, -0.0, 1.0, 0.5, 5e-324, 1e-310, 1e308, -1e308, np.inf, -np.inf, np.nan, 1 + 1e-16, 88.8, 709.8, -745.2)


@pytest.mark.parametrize("make", [ck.Predictions.from_logits, ck.Predictions.from_probs])
def test_odd_numbers_give_a_refusal_or_a_true_number(make):
    rng = np.random.default_rng(3)
    judged = 0
    for _ in range(300):
        n, k = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        with np.errstate(over="ignore"):
            values = rng.choice(ODD, size=(n, k)).astype(rng.choice(KINDS))
        if make is ck.Predictions.from_probs and rng.random() < 0.7:
            values = np.eye(k, dtype=values.dtype)[rng.integers(0, k, n)]
        values = values[:, 0] if k == 1 else values
        labels = rng.integers(0, max(2, k), n)
        try:
            result = ck.evaluate(make(labels, values))
        except CalibkitError:
            continue
        judged += 1
        for metric in ("accuracy", "mean_confidence", "ece", "rmsce", "mce"):
            assert 0 <= result[metric].value <= 1, (metric, labels, values)
        assert 0 <= result["brier"].value <= 2
        assert result["nll"].value >= 0
        json.dumps(result.to_dict(), allow_nan=False)
    assert judged > 10

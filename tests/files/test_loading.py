import io
import os
import sys
import threading

import numpy as np
import pytest

from calibkit import Predictions, load
from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from calibkit.files import has_split
from tests.files.samples import EXTRAS, LABELS, LOGITS, PROBS, WRITERS, write_csv
from tests.real_data import real_data


def skip_without(extension):
    if extension in EXTRAS:
        pytest.importorskip(EXTRAS[extension])
    if extension == ".safetensors":
        pytest.importorskip("safetensors")


@pytest.mark.parametrize("extension", WRITERS)
def test_the_same_arrays_are_read_from_every_format(tmp_path, extension):
    skip_without(extension)
    path = tmp_path / f"net{extension}"
    WRITERS[extension](path, {"labels": LABELS, "logits": LOGITS, "id": np.array([7, 3, 9, 4])})
    predictions = load(path)
    assert (predictions.kind, predictions.n_classes, predictions.name) == ("logits", 3, "net")
    np.testing.assert_array_equal(predictions.logits.astype(np.float32), LOGITS)
    np.testing.assert_array_equal(predictions.labels, LABELS)
    np.testing.assert_array_equal(predictions.ids, [7, 3, 9, 4])


@pytest.mark.parametrize("extension", WRITERS)
def test_real_logits_keep_every_bit_in_every_format(tmp_path, extension):
    skip_without(extension)
    original = load(real_data("multiclass/cifar10_resnet50_ce.npz"), split="val").take(np.arange(500))
    path = tmp_path / f"net{extension}"
    WRITERS[extension](path, {"val_labels": original.labels, "val_logits": original.logits})
    again = load(path, split="val")
    np.testing.assert_array_equal(again.logits, original.logits)
    np.testing.assert_array_equal(again.labels, original.labels)


@pytest.mark.parametrize("extension", WRITERS)
def test_float32_softmax_passes_as_probabilities_in_every_format(tmp_path, extension):
    skip_without(extension)
    from calibkit.scores import score_rows

    exact = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    probs = exact.astype(np.float32)
    path = tmp_path / f"net{extension}"
    WRITERS[extension](path, {"labels": LABELS, "probs": probs})
    scored = score_rows(load(path))
    np.testing.assert_allclose(scored.log_score, -np.log(exact[np.arange(4), LABELS]), rtol=1e-5)


def test_the_basketball_forecasts_are_read_from_csv_by_their_own_names():
    csv = load(real_data("binary/538_nba_games.csv"), labels="outcome1", probs="prob1")
    npz = load(real_data("binary/538_nba_games.npz"))
    np.testing.assert_array_equal(csv.probs, npz.probs)
    np.testing.assert_array_equal(csv.labels, npz.labels)
    assert csv.labels.mean() == pytest.approx(0.571686, abs=5e-7)


@pytest.mark.parametrize(
    ("name", "kind", "n", "k"),
    [
        ("multiclass/cifar10_resnet110_ce.npz", "logits", 10_000, 10),
        ("multiclass/cifar10_resnet50_ce.npz", "logits", 10_000, 10),
        ("multiclass/cifar10_resnet50_flsd53.npz", "logits", 10_000, 10),
        ("multiclass/cifar100_resnet-20.npz", "logits", 10_000, 100),
        ("multiclass/sst2_gpt2.npz", "logits", 1_821, 2),
        ("top1/imagenet_timm_efficientnet_b3a.npz", "top1", 50_000, None),
        ("top1/imagenet_tv_resnext101_32x8d.npz", "top1", 50_000, None),
        ("binary/538_nba_games.npz", "probs", 8_886, 2),
        ("binary/538_governors_elections.npz", "probs", 19_831, 2),
    ],
)
def test_published_predictions_are_recognised(name, kind, n, k):
    predictions = load(real_data(name))
    assert (predictions.kind, len(predictions), predictions.n_classes) == (kind, n, k)


def test_groups_of_repeated_elections_are_read():
    predictions = load(real_data("binary/538_governors_elections.npz"))
    assert len(np.unique(predictions.groups)) > 100


def test_accuracy_of_published_predictions():
    predictions = load(real_data("top1/imagenet_timm_efficientnet_b3a.npz"))
    assert predictions.correct.mean() == pytest.approx(0.81874, abs=5e-6)
    predictions = load(real_data("multiclass/cifar10_resnet50_ce.npz"))
    assert (predictions.logits.argmax(axis=1) == predictions.labels).mean() == pytest.approx(0.9505)


def test_a_split_is_read_by_its_prefix(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=LABELS, logits=LOGITS, val_labels=LABELS[:2], val_logits=LOGITS[:2])
    assert len(load(path)) == 4
    assert len(load(path, split="val")) == 2
    assert has_split(path, "val")
    assert not has_split(path, "test")
    with pytest.raises(InputFormatError, match='split="val"'):
        load(path, split="test")


def test_a_file_with_splits_alone_says_which_there_are(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, val_labels=LABELS, val_logits=LOGITS, test_labels=LABELS, test_logits=LOGITS)
    with pytest.raises(InputFormatError, match='split="val" and split="test"'):
        load(path)


def test_the_users_keys_follow_the_split(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, truth=LABELS, out=LOGITS, val_truth=LABELS[:3], val_out=LOGITS[:3])
    assert len(load(path, labels="truth", logits="out")) == 4
    assert len(load(path, labels="truth", logits="out", split="val")) == 3
    assert len(load(path, labels="val_truth", logits="val_out")) == 3


def test_a_key_that_the_split_lacks_is_not_taken_from_elsewhere(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, truth=LABELS, val_logits=LOGITS)
    with pytest.raises(InputFormatError, match="there is no 'val_truth'"):
        load(path, labels="truth", split="val")


def test_columns_named_after_classes_name_the_classes(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "pets.csv"
    path.write_text("target,probs_dog,probs_cat\ncat,0.25,0.75\ndog,0.9,0.1\n")
    predictions = load(path)
    assert predictions.class_names == ("dog", "cat")
    assert predictions.labels.tolist() == [1, 0]


def test_numbered_columns_are_put_in_the_order_of_their_numbers(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "net.csv"
    write_csv(path, {"logits_10": LOGITS[:, 0], "y": LABELS} | {f"logits_{j}": LOGITS[:, 1] + j for j in range(10)})
    np.testing.assert_array_equal(load(path).logits[:, 10].astype(np.float32), LOGITS[:, 0])


def test_numbered_columns_with_a_gap_are_refused(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "net.csv"
    path.write_text("label,probs_1,probs_2\n1,0.3,0.7\n")
    with pytest.raises(InputFormatError, match="label_base=1"):
        load(path)
    assert load(path, label_base=1).labels.tolist() == [0]


def test_a_list_of_columns_in_class_order(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "net.csv"
    path.write_text("label,no,yes\n1,0.3,0.7\n")
    assert load(path, probs=["no", "yes"]).probs.tolist() == [[0.3, 0.7]]


def test_labels_that_are_text_need_class_names(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=np.array(["cat", "dog"]), probs=PROBS[:2, :2] / PROBS[:2, :2].sum(axis=1, keepdims=True))
    with pytest.raises(LabelError, match="class_names"):
        load(path)
    assert load(path, class_names=["dog", "cat"]).labels.tolist() == [1, 0]


def test_class_names_stored_in_the_file(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=np.array(["b", "c"]), logits=LOGITS[:2], class_names=np.array(["a", "b", "c"]))
    assert load(path).labels.tolist() == [1, 2]
    assert load(path).class_names == ("a", "b", "c")


def test_true_and_false_beside_class_names_are_not_guessed_at(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "net.jsonl"
    path.write_text('{"label": true, "probs_true": 0.8, "probs_false": 0.2}\n')
    with pytest.raises(LabelError, match="write the names"):
        load(path)


def test_npy_takes_its_name_from_the_file(tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "labels.npy", LABELS)
    predictions = load(tmp_path / "logits.npy", labels_file=str(tmp_path / "labels.npy"))
    np.testing.assert_array_equal(predictions.logits, LOGITS)


def test_npy_of_another_name_has_to_be_told(tmp_path):
    np.save(tmp_path / "out.npy", LOGITS)
    np.save(tmp_path / "truth.npy", LABELS)
    truth = str(tmp_path / "truth.npy")
    with pytest.raises(InputFormatError, match=r'logits="KEY".*out \(4, 3\) float32'):
        load(tmp_path / "out.npy", labels_file=truth)
    by_alias = load(tmp_path / "out.npy", logits="array", labels_file=truth)
    by_stem = load(tmp_path / "out.npy", logits="out", labels_file=f"{truth}:array")
    assert by_alias == by_stem
    with pytest.raises(InputFormatError, match=r"no labels are recognised.*labels_file="):
        load(tmp_path / "out.npy", logits="array")


def test_labels_file_with_a_key(tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    np.savez(tmp_path / "truth.npz", a=LABELS, b=LABELS[::-1])
    with pytest.raises(InputFormatError, match=r"which array holds the labels.*a \(4,\) int64"):
        load(tmp_path / "logits.npy", labels_file=str(tmp_path / "truth.npz"))
    with pytest.raises(InputFormatError, match="there is no 'c'"):
        load(tmp_path / "logits.npy", labels_file=f"{tmp_path / 'truth.npz'}:c")
    predictions = load(tmp_path / "logits.npy", labels_file=f"{tmp_path / 'truth.npz'}:b")
    np.testing.assert_array_equal(predictions.labels, LABELS[::-1])


def test_labels_file_goes_before_labels_in_the_file_itself(tmp_path):
    np.savez(tmp_path / "net.npz", labels=LABELS, logits=LOGITS)
    np.save(tmp_path / "labels.npy", LABELS[::-1])
    predictions = load(tmp_path / "net.npz", labels_file=str(tmp_path / "labels.npy"))
    np.testing.assert_array_equal(predictions.labels, LABELS[::-1])


def test_a_labels_file_whose_name_holds_a_colon(tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "run:7.npy", LABELS)
    assert len(load(tmp_path / "logits.npy", labels_file=str(tmp_path / "run:7.npy"))) == 4


def test_a_single_column_is_read_as_binary_only_when_told(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=[1, 0, 1], probs=[[0.8], [0.35], [0.6]])
    with pytest.raises(ShapeError, match="binary=True"):
        load(path)
    assert load(path, binary=True) == Predictions.from_probs([1, 0, 1], [0.8, 0.35, 0.6], name="net")
    np.savez(path, labels=LABELS, logits=LOGITS)
    with pytest.raises(ShapeError, match="binary=True reads a single column"):
        load(path, binary=True)


def test_a_single_numbered_column_is_not_a_vector(tmp_path):
    path = tmp_path / "net.jsonl"
    path.write_text('{"label": 1, "probs_0": 0.8}\n{"label": 0, "probs_0": 0.3}\n')
    with pytest.raises(ShapeError, match="binary=True"):
        load(path)


def test_correctness_and_confidence(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(
        '{"correct": true, "confidence": 0.83, "id": "q7"}\n{"correct": false, "confidence": 0.4, "id": "q2"}\n'
    )
    assert load(path, ids="") == Predictions.from_correct([True, False], [0.83, 0.4], name="answers")
    assert load(path).ids.tolist() == ["q7", "q2"]


@pytest.mark.parametrize("words", ["True,False", "TRUE,false", "1,0", "1.0,0.0"])
def test_correctness_in_csv(tmp_path, words):
    pytest.importorskip("pyarrow")
    first, second = words.split(",")
    path = tmp_path / "answers.csv"
    path.write_text(f"correct,confidence\n{first},0.83\n{second},0.4\n")
    assert load(path).correct.tolist() == [True, False]


def test_an_empty_key_reads_none(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=LABELS, logits=LOGITS, weight=[70.5, 81.0, 64.2, 55.1])
    assert load(path).weights is not None
    assert load(path, weights="").weights is None


def test_opt_ins_reach_the_constructor(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=LABELS + 1, probs=PROBS * 0.9)
    predictions = load(path, label_base=1, renormalize=True)
    np.testing.assert_allclose(predictions.probs, PROBS)
    assert predictions.notes


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ({"clip": 1e-6}, "is for probs; .* would be read as logits$"),
        ({"renormalize": True}, r"is for probs; .* as logits\. Leave it out: softmax normalises them"),
        ({"log_probs": True}, r"is for probs; .* as logits\. Leave it out: softmax turns logs of probabilities into"),
    ],
)
def test_opt_ins_for_probabilities_are_refused_elsewhere(tmp_path, option, hint):
    path = tmp_path / "net.npz"
    np.savez(path, labels=LABELS, logits=LOGITS)
    with pytest.raises(OptionError, match=hint):
        load(path, **option)


def test_printed_log_probabilities(tmp_path):
    path = tmp_path / "net.jsonl"
    rows = [f'{{"label": {y}, "probs": {np.log(p).round(4).tolist()}}}\n' for y, p in zip(LABELS, PROBS, strict=True)]
    path.write_text("".join(rows))
    predictions = load(path, log_probs=True)
    np.testing.assert_allclose(np.exp(predictions.logits), PROBS, atol=1e-4)


def test_a_missing_value_in_a_table_is_dropped_only_when_told(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "net.parquet"
    pandas.DataFrame({"label": [1, 0, 1], "prob": [0.7, None, 0.4]}).to_parquet(path)
    with pytest.raises(DataError, match=r"row 1.*missing"):
        load(path)
    assert load(path, invalid="drop").probs.tolist() == [0.7, 0.4]


def test_complaints_begin_with_the_path(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=[1, 7], prob=[0.3, 0.4])
    with pytest.raises(LabelError, match=rf"^{path}: labels row 1: .*7"):
        load(path)


def test_the_name_is_the_stem_unless_given(tmp_path):
    path = tmp_path / "epoch 3.v2.npz"
    np.savez(path, labels=LABELS, logits=LOGITS)
    assert load(path).name == "epoch 3.v2"
    assert load(path, name="ours").name == "ours"


@pytest.mark.parametrize(
    "name", [b"caf\xe9 \xff.npz", b"two\nlines.npz", b"x" * 251 + b".npz", "élan 模型.npz".encode()]
)
def test_any_file_name_works(tmp_path, name):
    path = os.fsencode(tmp_path) + b"/" + name
    with open(path, "wb") as file:  # noqa: PTH123 - the name is bytes
        np.savez(file, labels=LABELS, logits=LOGITS)
    assert len(load(path)) == 4
    with pytest.raises(InputFormatError) as caught:
        load(path, logits="nothing")
    str(caught.value).encode("utf-8")
    assert "\n" not in str(caught.value)


class Piped:
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def test_standard_input_as_csv_and_as_json_lines(monkeypatch):
    pytest.importorskip("pyarrow")
    expected = Predictions.from_probs([1, 0], [0.83, 0.27], name="stdin")
    monkeypatch.setattr(sys, "stdin", Piped(b"label,prob\n1,0.83\n0,0.27\n"))
    assert load("-") == expected
    monkeypatch.setattr(sys, "stdin", Piped(b'{"label": 1, "prob": 0.83}\n{"label": 0, "prob": 0.27}'))
    assert load("-") == expected
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputFormatError, match="standard input: it is closed"):
        load("-")
    monkeypatch.setattr(sys, "stdin", Piped(b""))
    with pytest.raises(InputFormatError, match="nothing was received"):
        load("-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe(tmp_path):
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=('{"label": 1, "prob": 0.83}\n',))
    writer.start()
    assert load(path).probs.tolist() == [0.83]
    writer.join()


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_bytes": 0},
        {"max_bytes": "many"},
        {"split": ""},
        {"probs": [1, 2]},
        {"labels": 7},
        {"logits": "a", "probs": "b"},
        {"predicted": "a", "correct": "b"},
    ],
)
def test_options_that_cannot_be(tmp_path, arguments):
    path = tmp_path / "net.npz"
    np.savez(path, labels=LABELS, logits=LOGITS, a=LOGITS, b=LOGITS)
    with pytest.raises(OptionError):
        load(path, **arguments)

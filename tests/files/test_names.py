import re
from dataclasses import replace

import pytest

from calibkit.errors import InputFormatError, OptionError
from calibkit.files.contents import Contents, Entry
from calibkit.files.names import NEEDS, RECOGNISED, Question, choose, splits


def file_of(**shapes):
    """Open contents of arrays of these shapes."""
    entries = tuple(Entry(name=name, shape=shape, dtype="float32") for name, shape in shapes.items())
    return Contents(format="npz", entries=entries, read=dict, stream=dict)


def chosen(contents, **asked):
    keys = {key: asked.pop(key) for key in [*asked] if key in RECOGNISED}
    reading = choose(contents, Question(keys=keys, **asked), where="net.npz")
    return reading.kind, {role: found.names[0] for role, found in reading.found.items()}


N, NK = (5,), (5, 3)


@pytest.mark.parametrize("role", RECOGNISED)
def test_every_recognised_name_is_read_in_any_case(role):
    others = {"labels": N, "logits": NK}
    if role in ("logits", "probs"):
        others = {"labels": N}
    if role == "predicted":
        others = {"labels": N, "confidence": N}
    if role == "confidence":
        others = {"labels": N, "pred": N}
    if role == "correct":
        others = {"confidence": N}
    others.pop(role, None)
    for name in RECOGNISED[role]:
        for spelling in (name, name.upper(), name.capitalize()):
            arrays = file_of(**others, **{spelling: NK if role in ("logits", "probs") else N})
            kind, found = chosen(arrays, ragged=role == "n_choices")
            assert found[role] == spelling
            assert kind == {"predicted": "top1", "confidence": "top1", "correct": "correct", "probs": "probs"}.get(
                role, "logits"
            )


def test_every_role_says_what_it_needs():
    assert NEEDS.keys() == RECOGNISED.keys()


@pytest.mark.parametrize(
    ("arrays", "kind"),
    [
        ({"labels": N, "logits": NK, "pred": N, "conf": N, "correct": N}, "logits"),  # all classes determine the rest
        ({"labels": N, "probs": NK, "pred": N, "conf": N}, "probs"),
        ({"labels": N, "logits": NK, "prob": N}, "logits"),
        ({"labels": N, "prob": N, "conf": N}, "probs"),
        ({"labels": N, "pred": N, "conf": N}, "top1"),
        ({"correct": N, "conf": N}, "correct"),
        ({"pred": N, "correct": N, "conf": N}, "correct"),
    ],
)
def test_what_is_clear_is_read(arrays, kind):
    assert chosen(file_of(**arrays))[0] == kind


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"labels": N, "logits": NK, "probs": NK}, "could be read as logits or probs"),
        ({"labels": N, "scores": N, "prob": N}, "could be read as logits or probs"),
        ({"labels": N, "prob": N, "pred": N}, "could be read as probs or predicted and confidence"),
        ({"labels": N, "prob": N, "pred": N, "conf": N}, "could be read as probs or predicted and confidence"),
        ({"labels": N, "pred": N, "conf": N, "correct": N}, "predicted and confidence or correct and confidence"),
        ({"labels": N, "prob": N, "correct": N, "conf": N}, "probs or correct and confidence"),
        ({"labels": N, "target": N, "logits": NK}, 'Choose one: labels="labels", labels="target"'),
        ({"labels": N, "logits": NK, "scores": NK}, 'logits="logits", logits="scores"'),
        ({"labels": N, "logits": NK, "id": N, "index": N}, 'ids="id", ids="index"'),
        ({"logits": NK}, "holds logits but no labels are recognised"),
        ({"labels": N}, "labels: labels; no logits, probs or predictions are recognised. Say what is what"),
        ({"labels": N, "conf": N}, "labels: labels; confidence: conf; no logits, probs or predicted are recognised"),
        ({"labels": N, "pred": N}, "labels: labels; predicted: pred; no logits, probs or confidence are recognised"),
        ({"conf": N}, "confidence: conf; no labels with logits, probs or predictions are recognised"),
        ({}, "holds nothing"),
    ],
)
def test_what_is_not_clear_is_asked_and_the_file_described(arrays, complaint):
    with pytest.raises(InputFormatError, match=re.escape(complaint)) as caught:
        chosen(file_of(**arrays))
    assert str(caught.value).startswith("net.npz: ")
    for name in arrays:
        assert f"{name} (5," in str(caught.value)


@pytest.mark.parametrize(
    ("names", "suggested"),
    [
        (["label", "prob_cat", "prob_dog"], 'Perhaps probs="prob"'),
        (["label", "p_0", "p_1"], 'Perhaps probs="p"'),
        (["label", "P_0", "P_1"], 'Perhaps probs="P"'),
        (["label", "logit_0", "logit_1"], 'Perhaps logits="logit"'),
        (["label", "out_0", "out_1"], 'Perhaps logits="out" or probs="out"'),
        (["label", "p0", "p1", "p2"], 'Perhaps probs=["p0", "p1", "p2"]'),
        (["label", *(f"p{j}" for j in (2, 10, 1, 3, 4))], 'Perhaps probs=["p1", "p2", ..., "p10"]'),
        (["label", "score"], 'Perhaps logits="score"'),
        (["label", "logprobs"], 'Perhaps probs="logprobs" with log_probs=True'),
        (["label", "log_prob"], 'Perhaps probs="log_prob" with log_probs=True'),
        (["answer", "loglikelihoods"], 'Perhaps labels="answer" with logits="loglikelihoods"'),
        (["true_label", "p"], 'Name them: labels="true_label", or labels_file='),
        (["lables", "prob"], 'Name them: labels="lables", or labels_file='),
        (["is_correct", "confidence"], 'Perhaps correct="is_correct"'),
        (["answer", "is_correct", "confidence"], 'Perhaps correct="is_correct"'),  # the labels are not needed
        (["label", "pred_label", "certainty"], 'Perhaps predicted="pred_label" with confidence="certainty"'),
        (["answer", "epoch"], 'Perhaps labels="answer". Say what is what'),
        (["a_x", "a_y", "age"], "no labels with logits, probs or predictions are recognised. Say what is what"),
        (["label", "x_1", "x_3"], 'Perhaps logits="x" or probs="x"'),
    ],
)
def test_names_that_are_nearly_recognised_are_suggested_and_never_read(names, suggested):
    with pytest.raises(InputFormatError, match=re.escape(suggested)):
        chosen(file_of(**dict.fromkeys(names, N)))


def test_no_name_is_suggested_that_has_a_role_or_where_a_split_would_do():
    with pytest.raises(InputFormatError, match=r'Say what is what: .* It has split="val"\.$'):
        chosen(file_of(val_labels=N, val_logits=NK))
    with pytest.raises(InputFormatError, match=r"are recognised\. Say what is what"):
        chosen(file_of(label=N, score=N), logits="")
    with pytest.raises(InputFormatError, match='Perhaps probs="proba"'):
        chosen(file_of(score=N, proba=N), labels="score")


@pytest.mark.parametrize(
    ("arrays", "ways"),
    [
        ({"y": N, "scores": NK, "probs": NK}, 'Choose one: logits="scores" or probs="probs".'),
        ({"y": N, "logits_0": N, "logits_1": N, "p": NK}, 'Choose one: logits="logits" or probs="p".'),
        ({"y": N, "p": N, "pred": N}, 'Choose one: probs="p" or predicted="pred" with confidence="p".'),
        ({"y": N, "pred": N, "conf": N, "correct": N}, 'Choose one: predicted="pred" or correct="correct".'),
    ],
)
def test_one_of_several_readings_is_chosen_by_the_keywords_that_are_told(arrays, ways):
    with pytest.raises(InputFormatError, match=re.escape(ways)):
        chosen(file_of(**arrays))
    for way in ways.removeprefix("Choose one: ").rstrip(".").split(" or "):
        keys = dict(re.findall(r'(\w+)="(\w+)"', way))
        assert chosen(file_of(**arrays), **keys)[0] in {"top1" if key == "predicted" else key for key in keys}


def test_columns_that_a_key_does_not_reach():
    columns = file_of(label=N, p0=N, p1=N, p2=N)
    with pytest.raises(InputFormatError) as caught:
        chosen(columns, probs="p")
    assert (
        'there is no \'p\'. A prefix stands before _ (p_0); list these columns: probs=["p0", "p1", "p2"]. The file'
        in (str(caught.value))
    )
    assert chosen(columns, probs=["p0", "p1", "p2"])[0] == "probs"
    with pytest.raises(InputFormatError, match=r"Did you mean 'p0'\? The file holds"):
        chosen(columns, labels="p00")


def test_one_array_without_a_name_is_told_where_labels_may_be():
    alone = replace(file_of(epoch7=NK), sole="array")
    with pytest.raises(InputFormatError, match=r'logits="array" or probs="array", and where .* labels_file="PATH"'):
        chosen(alone)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"probs": "prob"}, "probs"),
        ({"probs": "pred"}, "probs"),
        ({"confidence": "prob"}, "top1"),
        ({"predicted": "pred", "confidence": "prob"}, "top1"),
        ({"logits": "prob"}, "logits"),
    ],
)
def test_a_name_given_settles_it(keys, kind):
    assert chosen(file_of(labels=N, prob=N, pred=N), **keys)[0] == kind


def test_a_name_given_to_one_role_is_not_recognised_as_another():
    kind, found = chosen(file_of(y=N, p=N, conf=N, pred=N), confidence="p")
    assert kind == "top1"
    assert found["confidence"] == "p"


def test_a_role_switched_off():
    assert "weights" not in chosen(file_of(labels=N, logits=NK, weight=N), weights="")[1]
    with pytest.raises(InputFormatError, match="no labels"):
        chosen(file_of(labels=N, logits=NK), labels="")
    assert chosen(file_of(labels=N, logits=NK, probs=NK), probs="")[0] == "logits"


def test_a_name_that_is_not_there_suggests_the_nearest():
    with pytest.raises(InputFormatError, match=r"there is no 'logit'. Did you mean 'logits'"):
        chosen(file_of(labels=N, logits=NK), logits="logit")


@pytest.mark.parametrize("keys", [{"logits": "a", "probs": "b"}, {"predicted": "a", "logits": "b"}])
def test_two_forecasts_cannot_be_named(keys):
    with pytest.raises(OptionError, match="name one forecast"):
        chosen(file_of(labels=N, a=NK, b=NK), **keys)


def test_labels_elsewhere():
    kind, found = chosen(file_of(logits=NK), labels_elsewhere=True)
    assert (kind, [*found]) == ("logits", ["logits"])


def test_numbered_columns_in_the_order_of_their_numbers():
    columns = {f"probs_{j}": N for j in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)}
    reading = choose(file_of(y=N, **columns), Question(keys={}), where="")
    assert reading.found["probs"].names == tuple(f"probs_{j}" for j in range(11))


@pytest.mark.parametrize("suffixes", [(1, 2), (0, 2), ("0", "00"), (0, "cat"), (2, 3)])
def test_numbers_with_a_gap(suffixes):
    with pytest.raises(InputFormatError, match="not numbered without a gap"):
        chosen(file_of(y=N, **{f"probs_{suffix}": N for suffix in suffixes}))


def test_a_prefix_of_the_users_own():
    reading = choose(file_of(y=N, out_b=N, out_a=N), Question(keys={"logits": "out"}), where="")
    assert reading.found["logits"].names == ("out_b", "out_a")
    assert reading.class_names == ("b", "a")


def test_other_columns_that_begin_alike_are_not_classes():
    assert chosen(file_of(y=N, prob=N, prob_calibrated=N, p_value=N))[1]["probs"] == "prob"


def test_splits_are_those_with_labels_and_a_forecast():
    contents = file_of(labels=N, logits=NK, val_labels=N, val_logits=NK, train_labels=N, y_prob=N, dev_y=N, dev_p=N)
    assert splits(contents, Question(keys={})) == ("val", "dev")


def test_columns_of_a_split():
    contents = file_of(label=N, probs_0=N, probs_1=N, val_label=N, val_probs_0=N, val_probs_1=N)
    assert chosen(contents)[1]["probs"] == "probs_0"
    assert chosen(contents, split="val")[1]["probs"] == "val_probs_0"


def test_a_long_list_is_cut():
    with pytest.raises(InputFormatError, match="and 18 more"):
        chosen(file_of(**{f"layer{j}.weight": (2, 2) for j in range(30)}))

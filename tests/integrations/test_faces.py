"""The faces of CalibrationMetric to torchmetrics, Lightning and transformers; their examples are run by test_readme."""

import copy
import pickle
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import calibkit as ck
from calibkit.integrations.torch import evaluate
from calibkit.integrations.transformers import ComputeCalibration

VALUES = ("accuracy", "ece", "nll", "brier")


def rows(n=300, k=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, generator=generator) * 2, torch.randint(k, (n,), generator=generator)


def values_of(logits, labels, **options):
    found = evaluate(labels=labels, logits=logits, **options)
    return {name: found[name].value for name in VALUES}


class TestTorchmetrics:
    @pytest.fixture
    def calibration(self):
        pytest.importorskip("torchmetrics")
        from calibkit.integrations.torchmetrics import Calibration

        return Calibration

    def test_in_a_collection(self, calibration):
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy

        logits, labels = rows()
        other = MulticlassAccuracy(num_classes=5, average="micro")
        collection = MetricCollection([calibration(preds="logits", n_bins=10), other], prefix="val_")
        for part in torch.arange(300).split(64):
            collection.update(logits[part], labels[part])
        found = {name: float(value) for name, value in collection.compute().items()}
        expected = values_of(logits, labels, n_bins=10)
        assert {name: found[f"val_{name}"] for name in VALUES} == expected
        assert found["val_MulticlassAccuracy"] == pytest.approx(expected["accuracy"])
        collection.reset()
        collection.update(logits[:50], labels[:50])
        assert float(collection.compute()["val_nll"]) == values_of(logits[:50], labels[:50])["nll"]

    def test_a_call_gives_the_batch_and_keeps_it(self, calibration):
        logits, labels = rows()
        metric = calibration(preds="logits")
        for part in torch.arange(300).split(150):
            batch = {name: float(value) for name, value in metric(logits[part], labels[part]).items()}
            assert batch == values_of(logits[part], labels[part])
        assert {name: float(value) for name, value in metric.compute().items()} == values_of(logits, labels)
        assert metric.evaluation() == evaluate(labels=labels, logits=logits)

    def test_copies_are_their_own(self, calibration):
        logits, labels = rows()
        metric = calibration(preds="logits")
        metric.update(logits[:100], labels[:100])
        for twin in (copy.deepcopy(metric), metric.clone(), pickle.loads(pickle.dumps(metric))):
            twin.update(logits[100:], labels[100:])
            assert float(twin.compute()["nll"]) == values_of(logits, labels)["nll"]
        assert metric.evaluation().n == 100

    def test_probabilities_of_one_event(self, calibration):
        probs, labels = torch.sigmoid(rows()[0][:, 0]), rows()[1] % 2
        metric = calibration(preds="probs", values=("base_rate", "ece"))
        metric.update(probs, labels)
        expected = evaluate(labels=labels, probs=probs)
        assert {name: float(value) for name, value in metric.compute().items()} == {
            name: expected[name].value for name in ("base_rate", "ece")
        }

    def test_what_is_refused(self, calibration):
        with pytest.raises(ck.OptionError, match="preds"):
            calibration(preds="scores")
        with pytest.raises(ck.OptionError, match="n_bins"):
            calibration(preds="logits", n_bins=0)
        with pytest.raises(ck.OptionError, match="values='ecce'"):
            calibration(preds="logits", values=("ecce",))
        metric = calibration(preds="logits", values=("base_rate",))
        metric.update(*rows())
        with pytest.raises(ck.OptionError, match="no metric 'base_rate' here; there are accuracy"):
            metric.compute()

    def test_results_of_this_process_alone(self, calibration):
        assert calibration(preds="logits", sync_on_compute=False).metric.processes == "own"
        assert calibration(preds="logits").metric.processes == "all"


class Module:
    """Keeps what is logged, as a LightningModule would."""

    def __init__(self):
        self.logged = {}

    def log_dict(self, values, *, sync_dist):
        assert sync_dist
        self.logged |= values


@pytest.mark.filterwarnings("ignore")  # Lightning's own, at its import
class TestLightning:
    @pytest.fixture
    def callback(self):
        if find_spec("lightning") is None:
            pytest.skip("lightning is not installed")
        from calibkit.integrations.lightning import CalibrationCallback

        return CalibrationCallback

    def loop(self, callback, stage, *, sanity_checking=False, loaders=1):
        """The hooks of a Trainer over one stage."""
        module, trainer = Module(), SimpleNamespace(sanity_checking=sanity_checking)
        getattr(callback, f"on_{stage}_epoch_start")(trainer, module)
        for loader in range(loaders):
            logits, labels = rows(seed=loader)
            for number, part in enumerate(torch.arange(300).split(128)):
                outputs = {"logits": logits[part], "labels": labels[part], "ids": part}
                where = (loader,) if loaders > 1 else ()
                getattr(callback, f"on_{stage}_batch_end")(trainer, module, outputs, None, number, *where)
        getattr(callback, f"on_{stage}_epoch_end")(trainer, module)
        return module.logged

    @pytest.mark.parametrize(("stage", "prefix"), [("validation", "val"), ("test", "test")])
    def test_what_is_logged_is_the_evaluation(self, callback, stage, prefix):
        made = callback(ids="ids", n_bins=10, name="net")
        logged = self.loop(made, stage)
        assert logged == {f"{prefix}_{name}": value for name, value in values_of(*rows(), n_bins=10).items()}
        expected = evaluate(labels=rows()[1], logits=rows()[0], n_bins=10, name="net")
        assert made.evaluations == {prefix: expected}
        assert self.loop(made, stage) == logged  # the epoch before is forgotten

    def test_several_loaders(self, callback):
        made = callback(log=("ece",))
        assert list(self.loop(made, "validation", loaders=2)) == ["val_ece", "val_ece/1"]
        assert made.evaluations["val/1"] == evaluate(labels=rows(seed=1)[1], logits=rows(seed=1)[0])

    def test_a_sanity_check_is_no_result(self, callback):
        made = callback()
        assert self.loop(made, "validation", sanity_checking=True) == {}
        assert made.evaluations == {}

    def test_what_is_refused(self, callback):
        with pytest.raises(ck.InputFormatError, match="both named"):
            callback(logits="a", probs="b")
        with pytest.raises(ck.OptionError, match="n_bins"):
            callback(n_bins=0)
        with pytest.raises(ck.OptionError, match="log='aurc'"):
            callback(log=("ece", "aurc"))  # on request alone
        made = callback(probs="p")
        with pytest.raises(ck.InputFormatError, match=r"validation_step returned logits, labels, ids; expected .* p"):
            self.loop(made, "validation")
        with pytest.raises(ck.InputFormatError, match="test_step returned NoneType; expected a dict with labels, p"):
            made.on_test_batch_end(None, None, None, None, 0)


def given(logits, labels):
    return SimpleNamespace(predictions=logits, label_ids=labels)


class TestTransformers:
    def test_whole_arrays(self):
        logits, labels = rows()
        compute = ComputeCalibration(n_bins=10, name="bert")
        expected = evaluate(labels=labels, logits=logits, n_bins=10, ignore_index=-100, name="bert")
        for _ in range(2):
            assert compute(given(logits.numpy(), labels.numpy())) == values_of(logits, labels, n_bins=10)
            assert compute.evaluation == expected

    def test_batch_after_batch(self):
        logits, labels = rows()
        compute = ComputeCalibration()
        for _ in range(2):
            assert compute(given(logits[:200], labels[:200]), compute_result=False) == {}
            assert compute(given(logits[200:], labels[200:]), compute_result=True) == values_of(logits, labels)

    def test_tokens_of_which_some_are_padding(self):
        logits, labels = rows()
        labels[::4] = -100
        tokens = given(logits.reshape(30, 10, 5).numpy(), labels.reshape(30, 10).numpy())
        kept = labels != -100
        assert ComputeCalibration()(tokens) == values_of(logits[kept], labels[kept])

    def test_probabilities_of_one_event(self):
        probs, labels = torch.sigmoid(rows()[0][:, 0]), rows()[1] % 2
        compute = ComputeCalibration(predictions="probs", values=("brier",))
        assert compute(given(probs, labels)) == {"brier": evaluate(labels=labels, probs=probs)["brier"].value}

    def test_what_fails_is_not_kept(self):
        logits, labels = rows()
        compute = ComputeCalibration(values=("ece",))
        with pytest.raises(ck.LabelError, match="labels row 0"):
            compute(given(logits, labels + 9))
        assert compute(given(logits, labels)) == {"ece": values_of(logits, labels)["ece"]}

    def test_what_is_refused(self):
        logits, labels = rows()
        with pytest.raises(ck.OptionError, match="values='ece': expected several names"):
            ComputeCalibration(values="ece")
        with pytest.raises(ck.InputFormatError, match="preprocess_logits_for_metrics"):
            ComputeCalibration()(given((logits, logits), labels))
        with pytest.raises(ck.InputFormatError, match="preprocess_logits_for_metrics"):
            ComputeCalibration()(given(np.array([logits, None], dtype=object), labels))
        with pytest.raises(ck.OptionError, match="predictions"):
            ComputeCalibration(predictions="scores")

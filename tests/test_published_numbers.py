"""Numbers that others published, or that were computed from published predictions, through every door and format."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

import calibkit as ck
from tests.real_data import real_data


@dataclass(frozen=True)
class Case:
    """A file, what is asked, and the numbers that must come out to the digits shown."""

    file: str
    expected: dict[str, float]
    options: dict[str, object] = field(default_factory=dict)
    reading: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        asked = "-".join(str(value) for value in (*self.options.values(), *self.reading.values()))
        return f"{self.file.split('/')[1]}{'-' if asked else ''}{asked}"

    @property
    def flags(self) -> list[str]:
        asked = {**self.reading, **{"bins" if k == "n_bins" else k: v for k, v in self.options.items()}}
        return [f"--{name}={value}" for name, value in asked.items()]


CASES = [
    Case(
        "multiclass/cifar10_resnet110_ce.npz",
        {
            "accuracy": 0.9356,
            "mean_confidence": 0.983104,
            "ece": 0.0475035,
            "mce": 0.295799,
            "nll": 0.358274,
            "brier": 0.110189,
        },
    ),
    Case("multiclass/cifar10_resnet110_ce.npz", {"ece": 0.00982904}, {"view": "classwise"}),
    Case("multiclass/cifar10_resnet110_ce.npz", {"ece": 0.009587}, {"view": "flattened"}),
    Case(
        "multiclass/cifar10_resnet50_ce.npz",
        {"accuracy": 0.9505, "ece": 0.0435432, "mce": 0.394259, "nll": 0.41212, "brier": 0.0921774},
    ),
    Case(
        "multiclass/cifar10_resnet50_flsd53.npz",
        {"accuracy": 0.9502, "ece": 0.0155128, "mce": 0.155708, "nll": 0.175504, "brier": 0.0800538},
    ),
    Case("multiclass/cifar100_resnet-20.npz", {"accuracy": 0.6883, "ece": 0.103393, "nll": 1.22526, "brier": 0.445252}),
    Case("multiclass/sst2_gpt2.npz", {"accuracy": 0.586491, "ece": 0.199953, "nll": 0.63573, "brier": 0.460178}),
    Case("multiclass/sst2_gpt2.npz", {"ece": 0.273}, {"view": "positive"}),
    Case(
        "top1/imagenet_timm_efficientnet_b3a.npz", {"accuracy": 0.81874, "mean_confidence": 0.694964, "ece": 0.123776}
    ),
    Case("top1/imagenet_timm_efficientnet_b3a.npz", {"ece": 0.123776}, {"n_bins": 10}),
    Case("top1/imagenet_tv_resnext101_32x8d.npz", {"accuracy": 0.79312, "ece": 0.0806427}),
    Case("top1/imagenet_tv_resnext101_32x8d.npz", {"ece": 0.0807}, {"n_bins": 10}),
    Case(
        "top1/imagenet_tv_resnext101_32x8d.npz",
        {"ece": 0.08073629151433703, "mce": 0.1919470946617725},
        {"n_bins": 20},
    ),
    Case(
        "binary/538_nba_games.npz",
        {"base_rate": 0.571686, "mean_confidence": 0.619149, "ece": 0.049189, "nll": 0.619093, "brier": 0.214654},
    ),
    Case("binary/538_nba_games.npz", {"ece": 0.0354608}, {"view": "top-label"}),
    Case(
        "binary/538_nba_games.csv",
        {"base_rate": 0.571686, "mean_confidence": 0.619149, "ece": 0.049189, "nll": 0.619093, "brier": 0.214654},
        reading={"labels": "outcome1", "probs": "prob1"},
    ),
    Case(
        "binary/538_governors_elections.npz",
        {"base_rate": 0.421209, "ece": 0.0350745, "brier": 0.0395413, "nll": 0.136832},
    ),
]


def tolerance(value: float) -> float:
    """Half a unit of the last digit shown; a little more, for digits that were cut and not rounded."""
    return max(0.6 * 10.0 ** -max(len(repr(value).split(".")[1]), 3), 1e-14)


def check(case: Case, metrics: dict[str, float], *, printed: bool = False) -> None:
    """Printed float32 numbers come back as the nearest decimals, which are off by up to 1e-8."""
    for metric, value in case.expected.items():
        assert metrics[metric] == pytest.approx(value, abs=max(tolerance(value), 1e-9 * printed)), metric


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_through_python(case):
    evaluation = ck.evaluate(ck.load(real_data(case.file), **case.reading), **case.options)
    check(case, {name: estimate.value for name, estimate in evaluation.metrics.items()})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_through_the_command(case, run_command):
    result = json.loads(run_command("evaluate", real_data(case.file), "--json", *case.flags))
    check(case, {name: metric["value"] for name, metric in result["metrics"].items()})


def test_published_bin_counts(run_command):
    path = real_data("top1/imagenet_tv_resnext101_32x8d.npz")
    published = "3 37 118 248 355 452 573 687 799 894 1270 1206 1222 1202 1338 1479 1647 2043 3050 31377"
    counts = [int(count) for count in published.split()]
    assert list(ck.evaluate(ck.load(path), n_bins=20).reliability.count) == counts
    assert json.loads(run_command("evaluate", path, "--bins", 20, "--json"))["reliability"]["count"] == counts


SCALED = {"ece": 0.0113208, "nll": 0.209261, "mce": 0.236393, "brier": 0.0978523}


def test_after_temperature_scaling(run_command):
    path = real_data("multiclass/cifar10_resnet110_ce.npz")
    comparison = ck.compare({"ce": ck.load(path)}, calibrate_on={"ce": ck.load(path, split="val")})
    through_python = {name: estimate.value for name, estimate in comparison.scaled.models["ce"].metrics.items()}
    result = json.loads(run_command("compare", path, "--calibrate-split", "val", "--json"))
    (model,) = result["scaled"]["models"].values()
    through_the_command = {name: metric["value"] for name, metric in model["metrics"].items()}
    assert comparison.temperature["ce"].value == pytest.approx(2.39501, abs=6e-6)
    for metrics in (through_python, through_the_command):
        for metric, value in SCALED.items():
            assert metrics[metric] == pytest.approx(value, abs=3e-6), metric


def test_the_published_error_at_a_published_temperature():
    predictions = ck.load(real_data("multiclass/cifar10_resnet50_ce.npz"))
    scaled = ck.Predictions.from_logits(predictions.labels, predictions.logits / 2.5)
    assert ck.evaluate(scaled)["ece"].value == pytest.approx(0.0135, abs=5e-5)


def as_csv(arrays, path):
    import pandas

    columns = {}
    for name, values in arrays.items():
        if values.ndim == 2:
            columns |= {f"{name}_{c}": values[:, c] for c in range(values.shape[1])}
        else:
            columns[name] = values
    pandas.DataFrame(columns).to_csv(path, index=False)


def as_parquet(arrays, path):
    import pyarrow
    import pyarrow.parquet

    columns = {name: values if values.ndim == 1 else list(values) for name, values in arrays.items()}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def as_safetensors(arrays, path):
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, path)


def as_torch(arrays, path):
    import torch

    torch.save({name: torch.from_numpy(values.copy()) for name, values in arrays.items()}, path)


WRITERS = {".csv": as_csv, ".parquet": as_parquet, ".safetensors": as_safetensors, ".pt": as_torch}
WRITTEN = [case for case in CASES if case.file.endswith(".npz")]


@pytest.mark.parametrize("extension", WRITERS)
@pytest.mark.parametrize("file", dict.fromkeys(case.file for case in WRITTEN))
def test_every_format_gives_the_same_numbers(file, extension, tmp_path, run_command):
    wanted = {"logits", "labels", "conf", "pred", "prob", "outcome", "group"}
    with np.load(real_data(file)) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name in wanted}
    path = tmp_path / f"predictions{extension}"
    WRITERS[extension](kept, path)
    predictions, printed = ck.load(path), extension == ".csv"
    for case in (case for case in WRITTEN if case.file == file):
        result = json.loads(run_command("evaluate", path, "--json", *case.flags))
        check(case, {name: metric["value"] for name, metric in result["metrics"].items()}, printed=printed)
        evaluation = ck.evaluate(predictions, **case.options)
        check(case, {name: estimate.value for name, estimate in evaluation.metrics.items()}, printed=printed)

"""Predictions of every kind, and how two evaluations differ."""

import numpy as np

import calibkit as ck

KINDS = ("logits", "float32", "probs", "two", "event", "log-odds", "top1", "correct")


def predictions(kind, n, *, weighted=False, seed=0, k=5):
    """Some predictions: over-confident ones, with ties and saturated rows."""
    rng = np.random.default_rng([seed, n])
    weights = rng.lognormal(size=n) if weighted else None
    z = rng.normal(size=(n, 2 if kind == "two" else k)) * 3
    z[::7] *= 40  # float32 saturates at 1
    z[::11, 1] = z[::11].max(axis=1)  # ties
    right = rng.random(n) < 0.7
    labels = np.where(right, z.argmax(axis=1), rng.integers(0, z.shape[1], n))
    if kind in ("logits", "float32", "two"):
        values = z.astype(np.float32) if kind == "float32" else z
        return ck.Predictions.from_logits(labels, values, weights=weights)
    probs = np.exp(z - z.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    if kind == "probs":
        return ck.Predictions.from_probs(labels, probs, weights=weights)
    event = rng.random(n) < 0.4
    if kind == "event":
        return ck.Predictions.from_probs(event.astype(int), rng.beta(0.4, 0.6, n), weights=weights)
    if kind == "log-odds":
        return ck.Predictions.from_logits(event.astype(int), rng.normal(size=n) * 3, weights=weights)
    confidence = probs.max(axis=1)
    if kind == "top1":
        return ck.Predictions.from_top1(labels, z.argmax(axis=1), confidence, n_classes=k, weights=weights)
    return ck.Predictions.from_correct(right, confidence, weights=weights)


def state_of(*parts, **options):
    state = ck.CalibrationState(**options)
    for part in parts:
        state.update(part)
    return state


def numbers(evaluation):
    """All numbers of an evaluation, by where they stand."""
    result = evaluation.to_dict()
    found = {}
    for name, estimate in result["metrics"].items():
        found |= {(name, end): estimate[end] for end in ("value", "low", "high")}
    for name in ("edges", "count", "confidence", "accuracy", "low", "high"):
        found |= {("reliability", name, i): v for i, v in enumerate(result["reliability"][name] or ())}
    for name, chance in {"ece": result["chance"], **result["by_chance"]}.items():
        found |= {("chance", name, key): value for key, value in (chance or {}).items()}
    for name, test in result["tests"].items():
        found |= {("test", name, key): value for key, value in test.items()}
    return {key: None if value is None else float(value) for key, value in found.items()}


def words(evaluation):
    """All of an evaluation that is no number."""
    result = evaluation.to_dict()
    settings = {key: value for key, value in result["settings"].items() if key != "rows"}
    keys = ("schema", "name", "n", "n_classes", "view", "absent", "verdict", "notes")
    return {key: result[key] for key in keys} | {"settings": settings}

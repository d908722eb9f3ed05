"""Are these predictions of the same rows: bring them into one order, or say what differs first. Floor 3."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibkit.errors import DataError
from calibkit.predictions import Predictions

Array = NDArray[Any]


def align(models: Mapping[str, Predictions], reference: str) -> tuple[dict[str, Predictions], list[str]]:
    """Every model's predictions in the reference's row and class order, and notes on what was trusted or moved."""
    notes: list[str] = []
    aligned = {name: _aligned_to(models[reference], reference, model, name, notes) for name, model in models.items()}
    return _share_groups(aligned, notes), notes


def align_classes(models: Mapping[str, Predictions], reference: str) -> tuple[dict[str, Predictions], list[str]]:
    """Every model's predictions in the reference's class order, of whatever rows; and notes."""
    notes = ["Unpaired: the models hold different rows, and each difference is one between independent samples."]
    ids = [model.ids for model in models.values() if model.ids is not None]
    if len(ids) == len(models) > 1 and all(np.array_equal(one, ids[0]) for one in ids):
        notes.append("All models hold the same ids: a paired comparison would say more.")
    first = models[reference]
    return {
        name: model if model is first else _same_class_order(first, model, (reference, name), notes)
        for name, model in models.items()
    }, notes


def _aligned_to(
    reference: Predictions, reference_name: str, model: Predictions, name: str, notes: list[str]
) -> Predictions:
    if model is reference:
        return model
    names = (reference_name, name)
    _check_ids_hold_the_same(reference, model, names)
    if len(model) != len(reference):
        raise DataError(
            f"{names[0]} has {len(reference):,} rows and {names[1]} has {len(model):,}: a paired comparison needs "
            "predictions of the same rows. Save both on the same test set, or give both ids; two test sets are "
            "compared with paired=False."
        )
    model = _same_class_order(reference, _same_row_order(reference, model, names, notes), names, notes)
    _check_choices(reference, model, names)
    _check_labels(reference, model, names, notes)
    _check_weights(reference, model, names)
    return model


def _check_ids_hold_the_same(reference: Predictions, model: Predictions, names: tuple[str, str]) -> None:
    """Name the first id that only one of the two has."""
    if reference.ids is None or model.ids is None:
        return
    ids, others = _comparable(reference.ids, model.ids)
    _refuse_missing(ids, others, names)
    _refuse_missing(others, ids, (names[1], names[0]))


def _comparable(ids: Array, others: Array) -> tuple[Array, Array]:
    """Two columns of ids as one type: whole numbers in one file may be text in another."""
    return (ids, others) if ids.dtype.kind == others.dtype.kind else (ids.astype(np.str_), others.astype(np.str_))


def _refuse_missing(ids: Array, others: Array, names: tuple[str, str]) -> None:
    missing = ~np.isin(ids, others)
    if missing.any():
        row = int(np.argmax(missing))
        raise DataError(
            f"{names[1]} lacks id {ids[row].item()!r}, which is row {row} of {names[0]} "
            f"({int(missing.sum()):,} of {len(ids):,} ids are missing). Compare predictions of the same rows."
        )


def _same_row_order(
    reference: Predictions, model: Predictions, names: tuple[str, str], notes: list[str]
) -> Predictions:
    if reference.ids is None or model.ids is None:
        notes.append(f"{names[0]} and {names[1]} do not both hold ids: rows are trusted to be in the same order.")
        return model
    ids, others = _comparable(reference.ids, model.ids)
    if np.array_equal(ids, others):
        return model
    position = np.empty(len(model), np.int64)
    position[np.argsort(ids, kind="stable")] = np.argsort(others, kind="stable")
    notes.append(f"{names[1]} holds the same ids in another order: its rows were aligned to those of {names[0]}.")
    return model.take(position)


def _same_class_order(
    reference: Predictions, model: Predictions, names: tuple[str, str], notes: list[str]
) -> Predictions:
    """Class columns are aligned by name where both files name them."""
    _check_both_ragged(reference, model, names)
    if None not in (reference.n_classes, model.n_classes) and reference.n_classes != model.n_classes:
        raise DataError(
            f"{names[0]} has {reference.n_classes} classes and {names[1]} has {model.n_classes}: "
            "they do not answer the same question."
        )
    ours, theirs = reference.class_names, model.class_names
    if ours is None or theirs is None or ours == theirs:
        return model
    if sorted(ours) != sorted(theirs):
        odd = sorted(set(ours) ^ set(theirs))[0]
        raise DataError(f"{names[0]} and {names[1]} name different classes: {odd!r} is in one of them alone.")
    notes.append(f"{names[1]} holds its classes in another order: they were aligned to those of {names[0]} by name.")
    columns = np.array([theirs.index(name) for name in ours])
    return _with_classes(model, columns, ours)


def _with_classes(model: Predictions, columns: Array, class_names: tuple[str, ...]) -> Predictions:
    """The same predictions with class column ``columns[c]`` moved to place c."""
    place = np.argsort(columns)

    def moved(codes: Any) -> Any:
        return None if codes is None else place[codes]

    def permuted(values: Any) -> Any:
        if values is None:
            return None
        if values.ndim == 2:
            return values[:, columns]
        flipped = columns[0] == 1
        return (1 - values if model.kind == "probs" else -values) if flipped else values

    return replace(
        model,
        labels=moved(model.labels),
        predicted=moved(model.predicted),
        logits=permuted(model.logits),
        probs=permuted(model.probs),
        class_names=class_names,
    )


def _check_labels(reference: Predictions, model: Predictions, names: tuple[str, str], notes: list[str]) -> None:
    if reference.labels is None or model.labels is None:
        notes.append(f"{names[0]} and {names[1]} do not both hold labels: they are trusted to answer the same items.")
        return
    differs = reference.labels != model.labels
    if differs.any():
        row = int(np.argmax(differs))
        where = f"row {row}" if reference.ids is None else f"row {row} (id {reference.ids[row].item()!r})"
        raise DataError(
            f"labels differ first at {where}: {names[0]} has {reference.labels[row]}, {names[1]} has "
            f"{model.labels[row]} ({int(differs.sum()):,} of {len(differs):,} rows differ). A paired comparison "
            "needs the same rows in the same order; give both files ids if their order differs."
        )


def _check_both_ragged(reference: Predictions, model: Predictions, names: tuple[str, str]) -> None:
    """Choices are not classes: only kinds that hold neither go with both."""
    ragged = [one.n_choices is not None for one in (reference, model) if one.kind in ("logits", "probs")]
    if len({*ragged}) > 1:
        choices, classes = names if ragged[0] else names[::-1]
        raise DataError(
            f"{choices} was read as ragged rows of choices and {classes} as rows of classes: they do not answer the "
            "same question. Read both with ragged=True, or both without it."
        )


def _check_choices(reference: Predictions, model: Predictions, names: tuple[str, str]) -> None:
    if reference.n_choices is None or model.n_choices is None:
        return
    differs = reference.n_choices != model.n_choices
    if differs.any():
        row = int(np.argmax(differs))
        raise DataError(
            f"numbers of choices differ first at row {row}: {names[0]} has {reference.n_choices[row]}, {names[1]} has "
            f"{model.n_choices[row]} ({int(differs.sum()):,} of {len(differs):,} rows differ). A paired comparison "
            "needs the same questions in the same order; give both files ids if their order differs."
        )


def _check_weights(reference: Predictions, model: Predictions, names: tuple[str, str]) -> None:
    if (reference.weights is None) != (model.weights is None):
        without = names[0] if reference.weights is None else names[1]
        raise DataError(f"{without} has no weights and the other has: give both the same weights, or neither.")
    if reference.weights is None or model.weights is None:
        return
    differs = reference.weights != model.weights
    if differs.any():
        row = int(np.argmax(differs))
        raise DataError(
            f"weights differ first at row {row}: {names[0]} has {reference.weights[row]}, "
            f"{names[1]} has {model.weights[row]}. A paired comparison needs one weight a row."
        )


def _share_groups(models: dict[str, Predictions], notes: list[str]) -> dict[str, Predictions]:
    """Dependence belongs to the rows: groups that one file holds count for all."""
    holder = next((name for name, model in models.items() if model.groups is not None), None)
    if holder is None:
        return models
    groups = models[holder].groups
    assert groups is not None
    for name, model in models.items():
        if model.groups is None:
            notes.append(f"{name} holds no groups: those of {holder} are used.")
        elif not _same_partition(groups, model.groups):
            raise DataError(f"{holder} and {name} group their rows differently: one grouping is needed.")
    return {name: replace(model, groups=groups) for name, model in models.items()}


def _same_partition(a: Array, b: Array) -> bool:
    """Whether two codings group the rows alike."""
    pairs = np.unique(np.stack([np.unique(x, return_inverse=True)[1] for x in (a, b)]), axis=1).shape[1]
    return bool(pairs == len(np.unique(a)) == len(np.unique(b)))

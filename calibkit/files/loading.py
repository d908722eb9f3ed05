"""Reads a file into Predictions: what is what by name, then the one constructor that fits. Floor 2."""

from collections.abc import Sequence
from typing import Literal

from calibkit.files.building import asked, built, requested
from calibkit.files.formats import open_contents
from calibkit.files.names import Key, has_recognised
from calibkit.files.reading import draw, with_labels_from
from calibkit.files.source import AnyPath
from calibkit.predictions import Invalid, Predictions


def load(
    path: AnyPath,
    *,
    split: str | None = None,
    labels: str | None = None,
    logits: Key = None,
    probs: Key = None,
    predicted: str | None = None,
    confidence: str | None = None,
    correct: str | None = None,
    ids: str | None = None,
    weights: str | None = None,
    groups: str | None = None,
    labels_file: str | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    invalid: Invalid = "error",
    clip: float | None = None,
    renormalize: bool = False,
    label_base: int = 0,
    ignore_index: int | None = None,
    log_probs: bool = False,
    ragged: bool = False,
    binary: bool = False,
    dtype: Literal["float16", "float32", "float64"] | None = None,
    max_bytes: int | None = None,
) -> Predictions:
    """Read predictions from a file.

    Parameters
    ----------
    path : path-like
        A .npz, .npy, .safetensors, .pt, .pth, .csv, .tsv, .parquet, .arrow, .feather or .jsonl file; "-" reads CSV
        or JSON lines from standard input.
    split : str, optional
        Read the arrays whose names begin with this and an underscore: ``"val"`` for ``val_logits``.
    labels, logits, probs, predicted, confidence, correct, ids, weights, groups : str, optional
        Names of arrays or columns that are not recognised by themselves; ``""`` reads none. `logits` and `probs` may
        be a prefix of columns (``"out"`` for ``out_0, out_1, ...``) or a list of columns in class order.
    labels_file : str, optional
        ``"PATH"`` or ``"PATH:KEY"`` of a file with the labels.
    class_names : list of str, optional
        Names in class order, by which labels that are text are read; default: those that the file tells.
    name : str, optional
        Name of the predictions; default: the one saved with them, else the file's name without its extension.
    invalid, clip, renormalize, label_base, ignore_index, log_probs, ragged
        Opt-ins of the constructors, see `Predictions`.
    binary : bool
        Read a single column (n, 1) as 1-D: P(y = 1), or log-odds of class 1.
    dtype : {"float16", "float32", "float64"}, optional
        Type of the forecasts before they were printed, to which those of a text file are rounded; default float64.
    max_bytes : int, optional
        Refuse to unpack more; default 16 GiB, and no more than 100 times the file's size where that is over 1 GiB.

    Returns
    -------
    Predictions
        Of the kind that the file holds.

    Raises
    ------
    InputFormatError
        If the file cannot be read, or it is not clear what is what: the message lists what it holds.
    LimitError
        If the file claims more bytes than it has, or than `max_bytes`.
    MissingExtraError
        If the format needs a package that is not installed.
    DataError, LabelError, ShapeError
        What the constructors raise.

    Notes
    -----
    Recognised names, in any case: labels, label, targets, target, y, y_true, outcome; logits, scores; probs,
    probabilities, y_prob, prob, p; pred, predicted; conf, confidence; correct; id, ids, index; weight, weights;
    group, groups. One array per class, ``logits_0, logits_1, ...`` or ``probs_cat, probs_dog, ...``, is put together.
    All formats, and the limits of each, are described in docs/predictions-file.md.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from calibkit import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", y=[2, 0], out=[[0.1, -1.2, 2.3], [0.4, 1.9, -0.7]])
    ...     load(f"{folder}/net.npz", logits="out")
    Predictions(kind='logits', n=2, n_classes=3, dtype=float64, name='net')
    """
    request = requested(
        split=split,
        labels=labels,
        logits=logits,
        probs=probs,
        predicted=predicted,
        confidence=confidence,
        correct=correct,
        ids=ids,
        weights=weights,
        groups=groups,
        labels_file=labels_file,
        class_names=class_names,
        name=name,
        invalid=invalid,
        clip=clip,
        renormalize=renormalize,
        label_base=label_base,
        ignore_index=ignore_index,
        log_probs=log_probs,
        ragged=ragged,
        binary=binary,
        dtype=dtype,
        max_bytes=max_bytes,
    )
    drawn = draw(path, request.question, max_bytes=max_bytes, log_probs=log_probs)
    if labels_file is not None:
        drawn = with_labels_from(drawn, labels_file, max_bytes=max_bytes)
    return built(drawn, request)


def has_split(path: AnyPath, split: str, **keys: Key) -> bool:
    """Whether a file holds labels and a forecast under a prefix.

    Parameters
    ----------
    path : path-like
        As for `load`.
    split : str
        The prefix without its underscore, ``"val"``.
    **keys
        Names of arrays as for `load`.

    Raises
    ------
    InputFormatError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", val_labels=[1, 0], val_prob=[0.83, 0.27])
    ...     has_split(f"{folder}/net.npz", "val"), has_split(f"{folder}/net.npz", "test")
    (True, False)
    """
    question = asked(keys, split=split)
    with open_contents(path) as (_, contents):
        return has_recognised(contents, question, split)

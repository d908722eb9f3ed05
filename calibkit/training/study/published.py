"""What others measured, with the sources: printed beside a study's own numbers, never mixed with them. Annex: training.

Numbers are as printed in the sources; ECE there is in per cent or a fraction, as the heading says.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A table of a paper: which claims it is about, its source, what it shows in a sentence, and its cells."""

    claims: str
    source: str
    says: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


MULLER = Published(
    claims="Claims 3 and 4",
    source="Müller, Kornblith, Hinton 2019, *When does label smoothing help?*, table 3 (15 bins; T and e chosen by the "
    "authors)",
    says="Smoothing lowers ECE as trained in all three rows; hard labels after temperature scaling are lower still in "
    "all three.",
    header=("data, network", "hard labels", "hard labels after scaling (T)", "smoothed as trained (e)"),
    rows=(
        ("CIFAR-100, ResNet-56", "0.150", "0.021 (1.9)", "0.024 (0.05)"),
        ("ImageNet, Inception-v4", "0.071", "0.022 (1.4)", "0.035 (0.1)"),
        ("EN-DE, Transformer", "0.056", "0.018 (1.13)", "0.019 (0.1)"),
    ),
)
MUKHOTI = Published(
    claims="Claims 2, 3 and 4",
    source="Mukhoti et al. 2020, *Calibrating deep neural networks using focal loss*: their protocol and most of their "
    "columns, as printed in Ghosh, Schaaf, Gormley 2022, *AdaFocal*, table 1; ECE in %, 15 bins, e = 0.05",
    says="Smoothing has the lower ECE as trained in nine of ten rows, and the higher one after scaling in all ten. Its "
    "optimal T is below 1 in four rows: under-confident.",
    header=("data, network", "hard", "hard after scaling (T)", "e = 0.05", "e = 0.05 after scaling (T)", "FLSD-53"),
    rows=(
        ("CIFAR-10, ResNet-50", "4.35", "1.35 (2.5)", "2.96", "1.67 (0.9)", "1.55"),
        ("CIFAR-10, ResNet-110", "4.41", "1.09 (2.8)", "2.09", "2.09 (1.0)", "1.87"),
        ("CIFAR-10, Wide-ResNet-26-10", "3.23", "0.92 (2.2)", "4.26", "1.84 (0.8)", "1.56"),
        ("CIFAR-10, DenseNet-121", "4.52", "1.31 (2.4)", "1.88", "1.82 (0.9)", "1.22"),
        ("CIFAR-100, ResNet-50", "17.52", "3.42 (2.1)", "7.81", "4.01 (1.1)", "4.5"),
        ("CIFAR-100, ResNet-110", "19.05", "4.43 (2.3)", "11.02", "5.89 (1.1)", "8.56"),
        ("CIFAR-100, Wide-ResNet-26-10", "15.33", "2.88 (2.2)", "4.84", "4.84 (1.0)", "3.03"),
        ("CIFAR-100, DenseNet-121", "20.98", "4.27 (2.3)", "12.89", "7.52 (1.2)", "3.73"),
        ("Tiny-ImageNet, ResNet-50", "15.32", "5.48 (1.4)", "15.23", "6.51 (0.7)", "1.76"),
        ("20 Newsgroups, CNN", "17.92", "2.39 (3.4)", "4.79", "2.54 (1.1)", "6.92"),
    ),
)
MBLS = Published(
    claims="Claims 1, 3 and the relatives of smoothing",
    source="Liu, Ben Ayed, Galdran, Dolz 2022, *The devil is in the margin* (MbLS): Tiny-ImageNet, ResNet-50, the "
    "authors' released checkpoints, as trained (by-liu/MbLS, docs/TEST.md)",
    says="MbLS has the lowest ECE, cross-entropy the lowest NLL: by ECE alone one picks the worse probabilities.",
    header=("loss", "accuracy", "NLL", "ECE"),
    rows=(
        ("cross-entropy", ".65020", "1.40984", ".03728"),
        ("label smoothing", ".65780", "1.41337", ".03165"),
        ("focal", ".63090", "1.44640", ".02958"),
        ("MbLS", ".64740", "1.43714", ".01641"),
    ),
)
XIA = Published(
    claims="Claim 11",
    source="Xia et al. 2025, *Towards understanding why label smoothing degrades selective classification and how to "
    "fix it* (ICLR), the repository's bank-marketing notebook: two classes, an MLP, e = 0.4",
    says="Accuracy rises while ECE and the ranking of right and wrong answers get worse.",
    header=("labels", "accuracy, %", "ECE", "AURC, %"),
    rows=(("hard", "90.14", ".0330", "1.633"), ("smoothed", "90.79", ".1526", "2.111")),
)
TABLES = (MULLER, MUKHOTI, MBLS, XIA)
WORDS = (
    "Claim 5: Lukasik et al. 2020 (*Does label smoothing mitigate label noise?*) find smoothing competitive with loss "
    "corrections under label noise; Wei et al. 2022 (*To smooth or not?*) find that its advantage vanishes when much "
    "of the labels is wrong.",
    "Claim 4: Wang, Feng, Zhang 2021 (*Rethinking calibration of deep neural networks*) find regularised networks "
    "better calibrated as trained, but less calibratable.",
)

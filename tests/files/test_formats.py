import zipfile

import numpy as np
import pytest

from calibkit import load
from calibkit.errors import CalibkitError, InputFormatError
from calibkit.state.file import MAGIC
from tests.files.samples import EXTRAS, LABELS, LOGITS, WRITERS


def write(path, extension):
    if extension in EXTRAS:
        pytest.importorskip(EXTRAS[extension])
    if extension == ".safetensors":
        pytest.importorskip("safetensors")
    made = path.with_suffix(extension)
    WRITERS[extension](made, {"labels": LABELS, "logits": LOGITS})
    return made


@pytest.mark.parametrize("extension", WRITERS)
def test_an_extension_that_lies_is_refused(tmp_path, extension):
    made = write(tmp_path / "net", extension)
    for other in {*WRITERS, ".npy", ".pth", ".tsv"} - {extension}:
        alike = [{".pt", ".pth"}, {".feather", ".arrow"}, {".csv", ".tsv"}]
        if any({extension, other} <= pair for pair in alike):
            continue
        disguised = tmp_path / f"other{other}"
        disguised.write_bytes(made.read_bytes())
        with pytest.raises(InputFormatError, match=r"other\.") as caught:
            load(disguised)
        assert caught.type is InputFormatError


@pytest.mark.parametrize("extension", sorted(set(WRITERS) - {".csv"}))
def test_without_an_extension_the_first_bytes_tell(tmp_path, extension):
    made = write(tmp_path / "net", extension)
    assert len(load(made.rename(tmp_path / "net"))) == 4


def test_text_of_an_unknown_extension_is_not_guessed_at(tmp_path):
    (tmp_path / "net.log").write_text("label,prob\n1,0.7\n")
    with pytest.raises(InputFormatError, match=r"extension \.log is not known.*\.npz"):
        load(tmp_path / "net.log")


@pytest.mark.parametrize(
    ("start", "hint"),
    [
        (b"\x1f\x8b\x08", "gunzip"),
        (b"BZh91AY", "bunzip2"),
        (b"\xfd7zXZ\x00", "unxz"),
        (b"\x28\xb5\x2f\xfd", "unzstd"),
        (b"\x89HDF\r\n\x1a\n", "numpy.savez"),
        (b"FEA1", "write_feather"),
        (b"\x80\x04\x95", "never loaded"),
        (MAGIC, r"a state .*calibkit merge"),
    ],
)
@pytest.mark.parametrize("extension", [".csv", ".npz", ".h5", ""])
def test_foreign_formats_say_what_to_do(tmp_path, start, hint, extension):
    path = tmp_path / f"net{extension}"
    path.write_bytes(start + bytes(100))
    with pytest.raises(InputFormatError, match=hint):
        load(path)


def test_a_zip_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        archive.writestr("labels.csv", "label\n1\n")
    with pytest.raises(InputFormatError, match=r"neither \.npy arrays nor a PyTorch file: labels\.csv"):
        load(tmp_path / "net.npz")


def test_binary_rubbish(tmp_path):
    rng = np.random.default_rng(5)
    for extension in (*WRITERS, ".npy", ".tsv", ".bin"):
        path = tmp_path / f"net{extension}"
        path.write_bytes(b"\x00" + rng.bytes(500))
        with pytest.raises(InputFormatError, match=r"net\."):
            load(path)


def complaint_about(path):
    """What calibkit says of a file, None if it reads it."""
    try:
        load(path, max_bytes=10**7)
    except CalibkitError as error:
        return str(error)
    return None


@pytest.mark.parametrize("extension", WRITERS)
def test_no_mutation_of_a_file_gets_past_the_errors_of_calibkit(tmp_path, extension):
    """Flip and cut bytes: the result is predictions or an error of calibkit's, never anything else."""
    data = write(tmp_path / "net", extension).read_bytes()
    path = tmp_path / f"mutant{extension}"
    rng = np.random.default_rng(17)
    for _ in range(150):
        mutant = bytearray(data)
        for position in rng.integers(0, len(mutant), size=rng.integers(1, 6)):
            mutant[position] = rng.integers(0, 256)
        if rng.random() < 0.3:
            start, end = sorted(rng.integers(0, len(mutant), size=2))
            del mutant[start:end]
        path.write_bytes(bytes(mutant))
        complaint = complaint_about(path)
        assert complaint is None or str(path) in complaint

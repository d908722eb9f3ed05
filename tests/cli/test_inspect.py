"""`calibkit inspect`: what a file holds and what would be read."""

import numpy as np


def test_keys_shapes_and_what_would_be_read(run, pair):
    done = run("inspect", pair["sharp"])
    assert done.code == 0
    for part in ("logits", "600", "val_labels", "float32", "--split val"):
        assert part in done.out


def test_a_file_that_is_not_clear_says_how_to_name_its_arrays(run, tmp_path):
    path = tmp_path / "odd.npz"
    np.savez(path, a=np.zeros((4, 3)), b=np.arange(4) % 3)
    done = run("inspect", path)
    assert done.code == 0
    for part in ("a", "b", "--labels", "--logits"):
        assert part in done.out


def test_a_broken_file_is_bad_input(run, tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    done = run("inspect", path)
    assert done.code == 4
    assert "broken.npz" in done.err

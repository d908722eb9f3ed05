"""Ray Data and Spark as docs/scale.md shows them: the state of the files, to the last bit."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```py\n(.*?)^```$", (ROOT / "docs" / "scale.md").read_text(), flags=re.M | re.S)
CHECK = """
expected = ck.state_of_files("run/*.parquet", labels="label")
assert expected.n == 600
assert state.digest == expected.digest, (state, expected)
print("the same bits")
"""
# One machine, as small as can be.
SETTINGS = {
    "ray": "import ray\nray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)\n",
    "pyspark": 'from pyspark.sql import SparkSession\nSparkSession.builder.master("local[2]").getOrCreate()\n',
}


@pytest.mark.slow
@pytest.mark.parametrize("library", SETTINGS)
def test_what_the_page_shows(library, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    if library == "pyspark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    rng = np.random.default_rng(0)
    (tmp_path / "run").mkdir()
    for number in range(3):
        logits = pa.array(list(rng.normal(size=(200, 4)).astype(np.float32)))
        pq.write_table(
            pa.table({"label": rng.integers(0, 4, 200), "logits": logits}), tmp_path / f"run/{number}.parquet"
        )
    (shown,) = (block for block in BLOCKS if re.search(rf"^(import|from) {library}\b", block, flags=re.M))
    code = SETTINGS[library] + shown.replace("/data/run", str(tmp_path / "run")) + CHECK
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same bits" in done.stdout

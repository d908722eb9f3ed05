"""What ``import calibkit`` costs against ``import numpy``: ``python -m benchmarks.import_time``.

Each import runs in a fresh interpreter; an interpreter that imports nothing is subtracted. Medians of interleaved runs.
"""

import argparse
import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "nothing": "pass",
    "numpy": "import numpy",
    "calibkit": "import calibkit",
    "calibkit, and its first evaluation's rooms": "import calibkit; calibkit.evaluate; calibkit.Predictions",
}


def seconds(statement: str) -> float:
    """Wall time of a fresh interpreter that runs a statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Time every statement and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="counted rounds (default 15)")
    n_runs = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(n_runs + 1):
        for name, statement in STATEMENTS.items():
            times[name].append(seconds(statement))
    median = {name: statistics.median(values[1:]) for name, values in times.items()}
    bare = median.pop("nothing")
    print("| import | time | / numpy |\n|---|---:|---:|")
    for name, value in median.items():
        print(f"| {name} | {1e3 * (value - bare):.0f} ms | {(value - bare) / (median['numpy'] - bare):.2f} |")


if __name__ == "__main__":
    main()

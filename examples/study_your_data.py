"""What label smoothing does on data of your own: x and y in an .npz file, then one call.

Run it with ``python examples/study_your_data.py``; it takes half a minute and downloads nothing. A real study has ten
seeds and a hundred epochs, the defaults; a study that is stopped goes on where it was.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer

from calibkit.training import run_study


def main() -> None:
    """Write the file, study it, and say where the page is."""
    x, y = load_breast_cancer(return_X_y=True)
    np.savez("breast-cancer.npz", x=x.astype(np.float32), y=y)
    study = run_study("study", data=["breast-cancer.npz"], seeds=3, epochs=5, hidden=(16,), jobs=1)
    for sentence in study.summary[:4]:
        print(sentence)
    print(f"{study.n_runs} runs; every claim with its evidence: {study.page}")


if __name__ == "__main__":  # processes are spawned, with more jobs than one: they import this file
    main()

"""Many short runs that test what is said about label smoothing, on data of the user's: `run_study`. Annex: training.

``cells`` and ``grid`` say which runs, ``problem``, ``one_run`` and ``measuring`` do one, ``running`` does them side by
side, ``folder`` keeps them, ``cost`` times; ``effects``, ``rules``, ``lines`` and the claims judge; ``table``,
``figure``, ``method``, ``published`` and ``page`` show.
"""

from calibkit.training.study.study import Study, run_study

__all__ = ["Study", "run_study"]

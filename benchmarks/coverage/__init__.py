"""Coverage of every interval that calibkit prints, and type I error of every p-value, on worlds whose truth is known.

`worlds` holds the truths, `batches` draws whole batches of samples as counts of a world's forecasts, `rows` draws one
sample at a time where rows matter (means, groups), `cells` counts, `tables` lists what is simulated, `summary` says it
in one table and one figure, and ``python -m benchmarks.coverage`` runs it.
"""

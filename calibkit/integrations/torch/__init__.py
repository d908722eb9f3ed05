"""Calibration of tensors where they are: a metric for validation loops, and one-shot evaluation. Needs torch."""

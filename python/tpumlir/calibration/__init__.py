"""Calibration: what float tensors reach over a dataset, and where an 8-bit scale ends for each."""

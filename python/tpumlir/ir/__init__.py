"""Modules of Top and Tpu operations: read, cut, searched and run."""

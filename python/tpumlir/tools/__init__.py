"""Tools for those who work on tpumlir itself; not part of its interface."""

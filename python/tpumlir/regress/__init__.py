"""Suites of models that are compiled and validated again, and what became worse since."""

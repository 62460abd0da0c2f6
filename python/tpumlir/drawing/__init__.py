"""Modules as pictures: laid out in layers, as a page and as a file that other viewers open."""

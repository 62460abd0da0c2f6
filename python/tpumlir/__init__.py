"""Compile neural networks to the BM1684X tensor processor, every step validated."""

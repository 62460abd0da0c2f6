"""A bmodel held against its Tpu module, tensor by tensor, where each lies while the simulated chip runs."""

from __future__ import annotations

from tpumlir.verify.check import verify
from tpumlir.verify.reference import Reference, read_reference
from tpumlir.verify.result import Finding, TensorCheck, Verification

__all__ = ["Finding", "Reference", "TensorCheck", "Verification", "read_reference", "verify"]

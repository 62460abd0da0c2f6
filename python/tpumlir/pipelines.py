"""The pass pipelines of the stages, by the names that the C++ pipeline registers."""

from __future__ import annotations

from tpumlir.errors import UnsupportedError

PRECISIONS = ("F32",)
CHIPS = ("bm1684x",)
SCHEDULING = "weight-reorder,address-assign"


def lowering(quantize: str, chip: str = "bm1684x") -> str:
    """The pipeline Top -> Tpu.

    Raises: UnsupportedError: a precision or chip that this version does not have.
    """
    if quantize.upper() not in PRECISIONS:
        raise UnsupportedError(
            f"expected a precision of {', '.join(PRECISIONS)}, got {quantize} (others are not supported yet)",
            precision=quantize,
        )
    if chip.lower() not in CHIPS:
        raise UnsupportedError(f"expected a chip of {', '.join(CHIPS)}, got {chip}")
    return f"convert-top-to-tpu{{mode={quantize.upper()}}},canonicalize"

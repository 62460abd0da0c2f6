"""Element types of ONNX as numpy has them, those included that numpy does not have itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

DType = np.dtype[Any]


def numpy_type(code: int) -> DType | None:
    """The numpy type of an ONNX element type code; None for text and unknown codes."""
    import onnx

    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, TypeError):
        return None
    return None if dtype.kind in "OUS" else dtype


@cache
def is_float(dtype: DType) -> bool:
    """True for every float type, also those that numpy does not have itself."""
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))

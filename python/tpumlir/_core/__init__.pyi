"""The C++ core of tpumlir; one submodule per part."""

from tpumlir._core import codegen as codegen
from tpumlir._core import device as device
from tpumlir._core import interpreter as interpreter
from tpumlir._core import ir as ir
from tpumlir._core import isa as isa
from tpumlir._core import precision as precision

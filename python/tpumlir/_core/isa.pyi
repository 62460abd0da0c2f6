"""The instruction set of the BM1684X, as data: fields, encoding, decoding, legality."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

LANES: int
LANE_BYTES: int
BANK_BYTES: int
EU_BYTES: int
LOCAL_MEMORY: tuple[int, int]
STATIC_MEMORY: tuple[int, int]
L2_MEMORY: tuple[int, int]
GLOBAL_MEMORY: tuple[int, int]
WORKS: tuple[str, ...]

class Field:
    """One bit field of an instruction; ``name`` is empty for reserved bits."""

    @property
    def name(self) -> str: ...
    @property
    def lsb(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def what(self) -> str: ...
    @property
    def reserved(self) -> bool: ...

class InstructionInfo:
    """One encoding; the long and the short form of an instruction are two. ``size`` is in bytes."""

    @property
    def name(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def is_short(self) -> bool: ...
    @property
    def emitted(self) -> bool: ...
    @property
    def opcode(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def sub_ops(self) -> dict[int, str]: ...

class Command:
    """A decoded command; ``offset`` and ``size`` are bytes of its stream."""

    @property
    def offset(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def engine(self) -> str: ...
    @property
    def instruction(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def id(self) -> int: ...
    @property
    def dependency(self) -> int: ...
    @property
    def is_end(self) -> bool: ...
    @property
    def fields(self) -> dict[str, int]: ...

class Violation:
    """A rule of the hardware that a command breaks; ``str()`` gives the whole sentence."""

    @property
    def engine(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def id(self) -> int: ...
    @property
    def instruction(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def field(self) -> str: ...
    @property
    def value(self) -> int: ...
    @property
    def expected(self) -> str: ...

def instructions() -> list[InstructionInfo]: ...
def fields(instruction: str) -> list[Field]:
    """Rows of an instruction, lowest bit first. Raises EncodeError for an unknown name."""

def operands(instruction: str) -> list[tuple[str, str]]:
    """Operands of an instruction: the prefix of their fields, and read, write, number or unknown."""

def encode(instruction: str, fields: Mapping[str, int]) -> bytes:
    """Bytes of one command. Opcode, form and cmd_id_en have defaults, all other fields are 0.

    Raises EncodeError for a field that does not exist or a value that does not fit.
    """

def decode(engine: str, stream: bytes | bytearray | memoryview) -> list[Command]:
    """Commands of the stream of one engine, 'tiu' or 'gdma'. Raises DecodeError."""

def disassemble(command: Command) -> str:
    """One line: instruction, operation, every field that is not 0."""

def validate_command(
    command: Command,
    *,
    coeff: tuple[int, int] | None = None,
    ctx: tuple[int, int] | None = None,
    foreign: bool = False,
) -> list[Violation]:
    """Rules that one command breaks by itself.

    ``coeff`` and ``ctx`` are the half-open address ranges of weights and activations; with one of them,
    GDMA may read both and write only ``ctx``. Of a ``foreign`` command only what the chip reads is judged.
    """

def global_accesses(command: Command) -> list[tuple[str, str, int, int | None]]:
    """What of global memory a GDMA command accesses: operand (prefix of its fields), role, address, bytes.

    Bytes reach from the lowest to the highest; None: only the start is known. Complete for a command that
    ``validate_command`` finds no fault with.
    """

def validate(
    tiu: bytes | bytearray | memoryview,
    gdma: bytes | bytearray | memoryview,
    *,
    coeff: tuple[int, int] | None = None,
    ctx: tuple[int, int] | None = None,
    tiu_count: int | None = None,
    gdma_count: int | None = None,
    foreign: bool = False,
) -> list[Violation]:
    """Rules that a command group breaks: each command, ids, ends, dependencies that never come, the counts.

    Raises DecodeError for bytes that are no instruction.
    """

def dtype_codes() -> dict[str, int]: ...
def pad_modes() -> dict[str, int]: ...
def layouts() -> dict[str, int]: ...
def rounding_modes() -> dict[str, int]: ...

class Cost:
    """What one command costs. ``read`` and ``written`` are bytes of DDR, ``products`` multiply-adds.

    ``work`` is one of WORKS; ``peak_cycles`` is what the products would take at best. Where nothing is
    ``known`` of a command its cycles are 0.
    """

    @property
    def work(self) -> str: ...
    @property
    def cycles(self) -> int: ...
    @property
    def read(self) -> int: ...
    @property
    def written(self) -> int: ...
    @property
    def products(self) -> int: ...
    @property
    def peak_cycles(self) -> float: ...
    @property
    def known(self) -> bool: ...

def cost(command: Command) -> Cost: ...

class Profile:
    """When each command runs: columns with one row per command, groups one after another, TIU (0) first.

    ``op`` and ``work`` are indices into ``ops`` and WORKS. ``wait`` is how long the engine stood still before
    the command; ``share`` its part of the program's time, of which both engines have half while both work.
    """

    @property
    def cycles(self) -> int: ...
    @property
    def tiu_busy(self) -> int: ...
    @property
    def gdma_busy(self) -> int: ...
    @property
    def both_busy(self) -> int: ...
    @property
    def ops(self) -> list[str]: ...
    @property
    def group(self) -> npt.NDArray[np.uint64]: ...
    @property
    def engine(self) -> npt.NDArray[np.uint8]: ...
    @property
    def id(self) -> npt.NDArray[np.uint64]: ...
    @property
    def op(self) -> npt.NDArray[np.uint32]: ...
    @property
    def work(self) -> npt.NDArray[np.uint8]: ...
    @property
    def start(self) -> npt.NDArray[np.uint64]: ...
    @property
    def duration(self) -> npt.NDArray[np.uint64]: ...
    @property
    def wait(self) -> npt.NDArray[np.uint64]: ...
    @property
    def share(self) -> npt.NDArray[np.float64]: ...
    @property
    def read(self) -> npt.NDArray[np.uint64]: ...
    @property
    def written(self) -> npt.NDArray[np.uint64]: ...
    @property
    def products(self) -> npt.NDArray[np.uint64]: ...
    @property
    def peak_cycles(self) -> npt.NDArray[np.float64]: ...
    @property
    def known(self) -> npt.NDArray[np.uint8]: ...

def profile(
    groups: Sequence[tuple[bytes | bytearray | memoryview, bytes | bytearray | memoryview]],
) -> Profile:
    """The streams of TIU and GDMA of each command group, timed.

    Raises DecodeError for bytes that are no instruction, BModelError for a wait that never ends.
    """

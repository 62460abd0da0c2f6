"""The readers that are fuzzed: for each the seeds, how an input is made of them, and what it may do.

An input may be read, or refused by an error of tpumlir. Everything else is a finding: another exception,
damage that a digest should have seen, text that prints as something that does not read back. What ends or
stops the process is noticed by fuzz.run.
"""

from __future__ import annotations

import io
import random
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from fuzz import mutate
from onnx import TensorProto, helper, numpy_helper
from tpumlir import Module, _core, bmodel, load_onnx, npz
from tpumlir.bmodel import DebugEntry, DebugInfo, container
from tpumlir.bmodel.debug import debug_path, read_debug, write_debug
from tpumlir.bmodel.notes import Notes, read_notes, write_notes
from tpumlir.bmodel.places import PlaceTables
from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import TpumlirError
from tpumlir.precision import table as qtable

Array = npt.NDArray[Any]
LINES = Path(__file__).parent.parent / "lit"


class Finding(Exception):
    """The reader took what it should have refused, or the other way round."""


@dataclass(frozen=True)
class Target:
    """A reader under test. ``suffix`` is that of its files."""

    name: str
    suffix: str
    seeds: Callable[[], list[bytes]]
    make: Callable[[random.Random, list[bytes]], bytes]
    feed: Callable[[bytes], bool]
    """Whether the input was read; False: refused as it should be. Raises: anything else."""


def generated(target: Target, seed: int, number: int) -> bytes:
    """Input ``number`` of the series ``seed``: always the same."""
    return target.make(random.Random(f"{target.name}:{seed}:{number}"), target.seeds())


@cache
def _scratch() -> Path:
    """A folder in memory where there is one: most readers want files."""
    shared = Path("/dev/shm")
    folder = tempfile.TemporaryDirectory(prefix="tpumlir-fuzz-", dir=shared if shared.is_dir() else None)
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[Any] = []


def _file(data: bytes, suffix: str) -> Path:
    path = _scratch() / f"input{suffix}"
    path.write_bytes(data)
    return path


# --- models ----------------------------------------------------------------------


def _model(nodes: list[Any], shape: list[int], weights: dict[str, Array], *outputs: str) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "seed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@cache
def models() -> tuple[onnx.ModelProto, ...]:
    """Small models that touch many converters."""
    rng = np.random.default_rng(0)
    node = helper.make_node

    def f32(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    def i64(*values: int) -> Array:
        return np.array(values, np.int64)

    def branch(name: str, op: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node(op, ["a"], [name], name=f"{name}_op")], name, [], [output])

    conv = _model(
        [
            node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
            node("BatchNormalization", ["c", "s", "o", "m", "v"], ["n"], name="norm"),
            node("Clip", ["n", "lo", "hi"], ["r"], name="clip"),
            node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("ConvTranspose", ["p", "t"], ["y"], name="up", strides=[2, 2], output_padding=[1, 1]),
        ],
        [1, 3, 8, 8],
        {
            "w": f32(4, 3, 3, 3), "b": f32(4), "s": f32(4), "o": f32(4), "m": f32(4), "v": abs(f32(4)),
            "lo": np.float32(0), "hi": np.float32(6), "t": f32(4, 2, 3, 3),
        },
        "y",
    )  # fmt: skip
    shapes = _model(
        [
            node("Shape", ["x"], ["s"], name="shape"),
            node("Gather", ["s", "zero"], ["d"], name="gather", axis=0),
            node("Unsqueeze", ["d", "zeros"], ["u"], name="unsqueeze"),
            node("Concat", ["u", "rest"], ["n"], name="concat", axis=0),
            node("Reshape", ["x", "n"], ["r"], name="reshape"),
            node("Slice", ["r", "from", "to", "axes", "steps"], ["l"], name="slice"),
            node("Pad", ["l", "pads", "fill"], ["p"], name="pad", mode="constant"),
            node("Split", ["p", "parts"], ["h", "k"], name="split", axis=1),
            node("Transpose", ["h"], ["t"], name="transpose", perm=[1, 0]),
            node("MatMul", ["k", "t"], ["q"], name="matmul"),
            node("Softmax", ["q"], ["f"], name="softmax", axis=-1),
            node("Where", ["mask", "f", "fill"], ["y"], name="where"),
        ],
        [2, 3, 4],
        {
            "zero": np.array(0, np.int64), "zeros": i64(0), "rest": i64(12), "from": i64(1), "to": i64(11),
            "axes": i64(1), "steps": i64(2), "pads": i64(0, 1, 0, 2), "fill": np.float32(0.5),
            "parts": i64(4, 4), "mask": np.array([[True, False], [False, True]]),
        },
        "y",
    )  # fmt: skip
    tanh, exp = branch("t", "Tanh"), branch("e", "Exp")
    control = _model(
        [
            node("LayerNormalization", ["x", "g", "b"], ["a"], name="ln", axis=-1, epsilon=1e-5),
            node("If", ["yes"], ["i"], name="if", then_branch=tanh, else_branch=exp),
            node("Resize", ["i", "", "scales"], ["z"], name="resize", mode="linear"),
            node("ReduceMean", ["z"], ["r"], name="mean", axes=[-1], keepdims=1),
            node("QuantizeLinear", ["r", "qs", "qz"], ["q"], name="q"),
            node("DequantizeLinear", ["q", "qs", "qz"], ["d"], name="d"),
            node("LSTM", ["seq", "W", "R"], ["y", "h"], name="lstm", hidden_size=2),
            node("TopK", ["d", "k"], ["v", "ix"], name="topk", axis=2),
            node("Einsum", ["v", "v"], ["e"], name="einsum", equation="abcd,abed->abce"),
        ],
        [1, 2, 4, 4],
        {
            "g": f32(4), "b": f32(4), "yes": np.array(True), "scales": np.array([1, 1, 2, 2], np.float32),
            "qs": np.float32(0.1), "qz": np.int8(0), "seq": f32(3, 1, 2), "W": f32(1, 8, 2),
            "R": f32(1, 8, 2),
            "k": i64(2),
        },
        "e",
        "h",
    )  # fmt: skip
    return conv, shapes, control


@cache
def _onnx_seeds() -> list[bytes]:
    return [model.SerializeToString() for model in models()]


def _make_onnx(rng: random.Random, seeds: list[bytes]) -> bytes:
    seed = rng.choice(seeds)
    if rng.random() < 0.25:
        return mutate.damage_bytes(seed, rng, seeds)
    proto = onnx.ModelProto.FromString(seed)
    mutate.damage_message(proto, rng)
    return bytes(proto.SerializeToString())


def _feed_onnx(data: bytes) -> bool:
    path = _file(data, ".onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load_onnx(path)
        except TpumlirError:
            return False
    return True


# --- modules as text --------------------------------------------------------------


@cache
def _top() -> tuple[Module, ...]:
    return tuple(load_onnx(model) for model in models())


@cache
def _top_seeds() -> list[bytes]:
    texts = [module.print().encode() for module in _top()]
    texts += [path.read_bytes() for path in sorted(LINES.rglob("*.mlir")) if b'"top.' in path.read_bytes()]
    return texts


@cache
def _tpu_seeds() -> list[bytes]:
    texts = [
        module.lower(quantize=mode).print().encode()
        for module in _top()[:2]
        for mode in ("F32", "F16", "BF16")
    ]
    texts += [path.read_bytes() for path in sorted(LINES.rglob("*.mlir")) if b'"tpu.' in path.read_bytes()]
    return texts


def _make_text(rng: random.Random, seeds: list[bytes]) -> bytes:
    text = rng.choice(seeds)
    parts = text.split(b"// -----")  # tests of several modules
    return mutate.damage_text(rng.choice(parts), rng, seeds)


def _feed_mlir(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        path = _file(data, ".mlir")
        try:
            Module.load(path)
        except TpumlirError:
            return False
        raise Finding("text that is not UTF-8 was read") from None
    try:
        module = _core.ir.Module.parse(text)
    except TpumlirError:
        return False
    module.ops()
    printed = module.print()
    try:
        again = _core.ir.Module.parse(printed).print()
    except TpumlirError as error:
        raise Finding(f"prints as text that does not read back: {error}") from error
    if again != printed:
        raise Finding("prints as text that reads back as another module")
    return True


# --- bmodel ---------------------------------------------------------------------------


@cache
def _bmodel_seeds() -> list[bytes]:
    path = _scratch() / "seed.bmodel"
    result = []
    for module, mode in ((_top()[0], "F32"), (_top()[1], "F16"), (_top()[0], "BF16")):
        program = module.lower(quantize=mode).compile()
        bmodel.write(path, program)
        result.append(path.read_bytes())
    x = program.inputs[0]
    other = replace(x, shape=(*x.shape, 1), onnx_type="double")
    stages = [program, replace(program, inputs=(other, *program.inputs[1:])), replace(program, name="other")]
    bmodel.write(path, bmodel.join(stages))
    return [*result, path.read_bytes()]


def _without_digest(data: bytes) -> bytes:
    """The file as the vendor's compiler would have left it: with zeros where we have a mark."""
    return data[:20] + bytes(container.HEADER_BYTES - 20) + data[container.HEADER_BYTES :]


def _make_bmodel(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    kind = rng.random()
    if kind < 0.15:  # as found on a disk: the digest must see it
        return mutate.damage_bytes(data, rng, seeds)
    tables = struct.unpack_from("<I", data, 8)[0]
    head, body = data[: container.HEADER_BYTES], data[container.HEADER_BYTES :]
    if kind < 0.7:
        changed = mutate.damage_bytes(body[:tables], rng, [s[64:4096] for s in seeds])
        body = (changed + bytes(max(0, tables - len(changed))))[:tables] + body[tables:]
    else:
        # Commands, which the tables say the place of; the last third of the blob is theirs.
        start = tables + (len(body) - tables) // 3
        changed = mutate.damage_bytes(body[start:], rng)
        body = (body[:start] + changed + bytes(len(body)))[: len(body)]
    return _without_digest(head + body)


RUN_EVERY = 8
"""A fresh machine takes ten times as long as the reader; the commands themselves are fuzzed by ``stream``."""


def _feed_bmodel(data: bytes) -> bool:
    path = _file(data, ".bmodel")
    # A reader of its own, which shows files that cannot be run.
    with suppress(TpumlirError):
        list(bmodel.describe_text(bmodel.describe(path)))
    try:
        program = bmodel.read(path)
    except TpumlirError:
        return False
    if program.has_digest and data not in _bmodel_seeds():
        raise Finding("changed bytes under a digest were read")
    if zlib.crc32(data) % RUN_EVERY:
        return True
    with suppress(TpumlirError):
        for stage in program.stages:
            inputs = {
                spec.name: np.zeros(spec.shape, spec.numpy_dtype)
                for spec in stage.inputs
                if spec.nbytes < 1 << 24
            }
            program.run(inputs, net=stage.name)
    return True


@cache
def _notes_seeds() -> list[bytes]:
    result = []
    for how in (Preprocess(), Preprocess(resize_dims=(6, 7), mean=(0.1, 2.0, 3.0), pixel_format="rgb")):
        notes = Notes({"x": ("float16", how), "y": ("", None)}, {"other": "digest"})
        result += [write_notes([notes]), write_notes([notes, Notes({"x": ("double", None)})])]
    return result


def _feed_notes(data: bytes) -> bool:
    try:
        read_notes("notes", data, 2)
    except TpumlirError:
        return False
    return True


@cache
def _debug_seeds() -> list[bytes]:
    path = _scratch() / "debug.bmodel"
    entries = [
        DebugEntry("tiu" if i % 3 else "gdma", i // 2 + 1, f"tpu.Op{i % 4}", f"node_{i}") for i in range(20)
    ]
    info = DebugInfo(entries)
    tables = PlaceTables(
        [["y", "f32", [1, 70, 3, 5], None, 0, 1 << 32], ["q", "u8", [7], 0.25, 128, None]],
        [[0, 1, [1, 70, 3, 5], [0, 16, 5, 1], [0, 15, 5, 1]],
         [0, 0, [1, 1, 1, 9], [0, 0, 0, 1], [0, 0, 0, 1]],
         [1, 2, [1, 64, 1, 7], [0, 0, 0, 1], [0, 0, 0, 1]]],
        [[0, 1, 1, 2, 0, 0, 64, 0, 0, []],
         [0, 0, 1, 3, 1, 2, 640, 0, 1, [0]],
         [0, 1, 3, 3, 2, 1, 1 << 32, 5, 0, [1]]],
    )  # fmt: skip
    placed = DebugInfo.of(info.sources, info.commands, tables)
    seeds = []
    for infos in ([info], [placed], [placed, DebugInfo(entries[:7])]):
        write_debug(path, _DIGEST, infos)
        seeds.append(debug_path(path).read_bytes())
    return seeds


_DIGEST = bytes(range(32))


def _feed_debug(data: bytes) -> bool:
    path = _scratch() / "damaged.bmodel"
    debug_path(path).write_bytes(data)
    read = [infos for most in ([1000], [1000, 500]) if (infos := read_debug(path, _DIGEST, most)) is not None]
    for info in (info for infos in read for info in infos):
        info.entries()
        for place in info.places:
            if place.elements < 1 << 16:
                place.indices()
        assert isinstance(info.tensors, dict)
    return bool(read)


# --- command streams -------------------------------------------------------------------


@cache
def _stream_seeds() -> list[bytes]:
    """A byte for the engine, then commands: those of compiled programs."""
    result = []
    for data in _bmodel_seeds():
        for group in bmodel.read(_file(data, ".bmodel")).stages[0].groups:
            result += [b"t" + group.tiu, b"g" + group.gdma]
    return result


_EDGES = (0, 1, 2, 3, 4, 5, 8, 15, 16, 31, 63, 64, 65, 255, 256, 1024, 4095, 16384, 65535)


def _make_stream(rng: random.Random, seeds: list[bytes]) -> bytes:
    kind = rng.random()
    if kind < 0.3:
        return mutate.damage_bytes(rng.choice(seeds), rng, seeds)
    info = rng.choice(_core.isa.instructions())
    engine = "tiu" if info.engine.lower().startswith("t") else "gdma"
    if kind < 0.6:  # a command of a program with other fields
        stream = rng.choice([s for s in seeds if s[:1] == engine[:1].encode()])
        command = rng.choice(_core.isa.decode(engine, stream[1:])[:-1])
        name, fields = command.instruction, dict(command.fields)
        changes = rng.choice((1, 1, 2, 4))
    else:
        name, fields, changes = info.name, {}, 1000
        if info.sub_ops:
            fields["tsk_eu_typ" if engine == "tiu" else "cmd_special_function"] = rng.choice(
                list(info.sub_ops)
            )
    rows = {field.name: field for field in _core.isa.fields(name) if not field.reserved}
    fields = {key: value for key, value in fields.items() if key in rows}
    fixed = {"cmd_short", "tsk_typ", "cmd_type", "cmd_id_en", "sys_end", *(() if changes < 1000 else fields)}
    free = [row for key, row in rows.items() if key not in fixed]
    for row in rng.sample(free, min(changes, len(free))):
        top = (1 << row.width) - 1
        value = rng.choice((0, 1, rng.choice(_EDGES), rng.choice(_EDGES), rng.getrandbits(row.width), top))
        if "addr" in row.name and rng.random() < 0.6:
            value = rng.choice((0, 0x1000, 0x8000, 0x10000, 0x3FFC0))
            value = 1 if row.name.endswith("h8") else value
        fields[row.name] = min(value, top)
    try:
        return engine[:1].encode() + _core.isa.encode(name, fields)
    except TpumlirError:
        return engine[:1].encode() + rng.randbytes(info.size)


@cache
def _machine() -> Any:
    return _core.device.Machine(1 << 22)


def _feed_stream(data: bytes) -> bool:
    engine, stream = "tiu" if data[:1] == b"t" else "gdma", data[1:]
    try:
        commands = _core.isa.decode(engine, stream)
    except TpumlirError:
        return False
    both = (stream, b"") if engine == "tiu" else (b"", stream)
    _core.isa.validate(*both)
    with suppress(TpumlirError):  # waits that never end
        _core.isa.profile([both])
    for command in commands[:8]:
        _core.isa.disassemble(command)
        _core.isa.validate_command(command)
        try:
            _machine().execute(engine, stream[command.offset : command.offset + command.size])
        except TpumlirError:
            continue
    return True


# --- npz -------------------------------------------------------------------------------


@cache
def _npz_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    tensors: dict[str, Array] = {
        "x": rng.standard_normal((2, 3, 4)).astype(np.float32),
        "with/slash": np.arange(5),
        "": np.float16(1.5).reshape(()),
        "bool": np.array([True, False]),
        "file": np.zeros((0, 3), np.int8),
    }
    plain, packed = io.BytesIO(), io.BytesIO()
    npz.write(plain, tensors)
    np.savez_compressed(packed, x=tensors["x"], y=np.asfortranarray(np.eye(3)))
    return [plain.getvalue(), packed.getvalue()]


def _make_npz(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    if rng.random() < 0.5:
        return mutate.damage_bytes(data, rng, seeds)
    # A whole archive with a damaged member: what the check sum of the archive does not see.
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as archive:
        names = source.namelist()
        chosen = rng.choice(names)
        for name in names:
            content, called = source.read(name), name
            if name == chosen:
                how = mutate.damage_text if rng.random() < 0.5 else mutate.damage_bytes
                size = 10 + content[8] + 256 * content[9]  # the header of an npy of version 1
                content = how(content[:size], rng) + content[size:]
                called = rng.choice((name, name, name, "../x.npy", "a\\b.npy", f"{name}.npy", "x"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                archive.writestr(called, content)
    return out.getvalue()


def _feed_npz(data: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tensors = npz.load(_file(data, ".npz"))
        except TpumlirError:
            return False
    if any(value.dtype.hasobject for value in tensors.values()):
        raise Finding("objects were read")
    return True


# --- tables ------------------------------------------------------------------------------


@cache
def _table_seeds() -> list[bytes]:
    return [
        b"# precision\n\nconv1 F32\nname with spaces F16\nother\tBF16\n",
        b"a f32\nb bf16\r\nc  F16 \n#d F16\n",
        "größe F32\nx::y F16\n".encode(),
    ]


def _feed_table(data: bytes) -> bool:
    path = _file(data, "_table")
    try:
        table = qtable.read(path)
    except TpumlirError:
        return False
    other = _scratch() / "again_table"
    try:
        qtable.write(other, table)
    except TpumlirError as error:
        raise Finding(f"a table that was read cannot be written: {error}") from error
    if qtable.read(other) != table:
        raise Finding("a table reads back as another one")
    return True


TARGETS = {
    target.name: target
    for target in (
        Target("bmodel", ".bmodel", _bmodel_seeds, _make_bmodel, _feed_bmodel),
        Target("notes", ".json", _notes_seeds, _make_text, _feed_notes),
        Target("debug", ".json", _debug_seeds, _make_text, _feed_debug),
        Target("onnx", ".onnx", _onnx_seeds, _make_onnx, _feed_onnx),
        Target("top", ".mlir", _top_seeds, _make_text, _feed_mlir),
        Target("tpu", ".mlir", _tpu_seeds, _make_text, _feed_mlir),
        Target("npz", ".npz", _npz_seeds, _make_npz, _feed_npz),
        Target("table", ".txt", _table_seeds, _make_text, _feed_table),
        Target("stream", ".bin", _stream_seeds, _make_stream, _feed_stream),
    )
}

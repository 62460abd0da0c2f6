"""Bmodels with several networks and shapes: what they share, which stage runs, what comes back."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bmodel import program
from tpumlir import bmodel
from tpumlir._core import isa
from tpumlir.bmodel import BModel, BModelFile, DebugEntry, DebugInfo, PlacedTensor, container
from tpumlir.bmodel.debug import Commands, debug_path
from tpumlir.bmodel.places import PlaceTables, Source
from tpumlir.bmodel.sharing import share_weights, without_unread
from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import BModelError, InputError

WEIGHTS = program.weights().tobytes()
FLAT, TALL, LONG = (1, 70, 36), (1, 70, 36, 1), (70, 36)


def stage(
    shape: tuple[int, ...] = program.SHAPE,
    *,
    before: int = 0,
    weights: bytes = WEIGHTS,
    rest: bytes = b"",
    op: int = 2,
    **changes: Any,
) -> BModel:
    """The small program on an input of another shape; its weights lie behind so many bytes, then a rest."""
    spec = program.spec(
        coeff=bytes(range(1, 129)) * (before // 128) + weights + rest,
        inputs=(PlacedTensor("x", shape, "f32", program.X),),
        groups=(program.group(at=program.BASE + before, tsk_eu_typ=op),),
        **changes,
    )
    return BModel(**{key: getattr(spec, key) for key in type(spec).__dataclass_fields__})


def values(shape: tuple[int, ...] = program.SHAPE) -> npt.NDArray[np.float32]:
    return program.x_values().reshape(shape)


def written(path: Path, *stages: BModel) -> BModel:
    bmodel.write(path, bmodel.join(stages))
    return bmodel.read(path)


# --- weights --------------------------------------------------------------------------


def test_equal_weights_are_in_the_file_once(tmp_path: Path) -> None:
    model = written(tmp_path / "m.bmodel", stage(), stage(FLAT), stage(LONG))
    assert len({id(one.coeff) for one in model.stages}) == 1
    ranges = {
        table["coeff_mem"]["binary_coeff"]
        for table in container.read_container(tmp_path / "m.bmodel").model["net"][0]["parameter"]
    }
    assert ranges == {(0, len(WEIGHTS))}
    # Equal commands are there once as well.
    assert len(container.read_container(tmp_path / "m.bmodel").blob) == 3 * 4096


@pytest.mark.parametrize("before", [0, 128, 1024])
def test_weights_are_found_wherever_they_lie(tmp_path: Path, before: int) -> None:
    stages = (stage(FLAT, rest=bytes(2000)), stage(before=before))
    model = written(tmp_path / "m.bmodel", *stages)
    for one, alone in zip(model.stages, stages, strict=True):
        assert one.coeff == stages[0].coeff
        x = values(one.inputs[0].shape)
        np.testing.assert_array_equal(model.run({"x": x})["y"], alone.run({"x": x})["y"])


def test_what_only_one_stage_reads_is_added_and_activations_make_room() -> None:
    # Its commands read the known weights and, as a second piece, others.
    own = np.linspace(3, 4, 70, dtype=np.float32).tobytes()
    double = dataclasses.replace(
        stage(rest=bytes(300) + own, ctx_addr=program.CTX),
        groups=(program.group(), program.group(at=program.BASE + len(WEIGHTS) + 300, tsk_eu_typ=2)),
    )
    base = stage(FLAT, rest=bytes(0x1000 - len(WEIGHTS)))
    first, second = share_weights([base, double])
    assert first.coeff is second.coeff
    assert first.coeff.startswith(base.coeff)
    assert len(first.coeff) < len(base.coeff) + len(own) + 128
    for one, alone in ((first, base), (second, double)):
        assert one.ctx_addr == program.CTX + 0x1000  # the weights reach into the old place
        assert [t.address for t in (*one.inputs, *one.outputs)] == [program.X + 0x1000, program.Y + 0x1000]
        x = values(alone.inputs[0].shape)
        np.testing.assert_array_equal(one.run({"x": x})["y"], alone.run({"x": x})["y"])


def test_stages_with_little_in_common_keep_their_weights() -> None:
    other = np.linspace(-9, -7, 70, dtype=np.float32).tobytes()
    first, second = stage(), stage(FLAT, weights=other)
    assert share_weights([first, second]) == [first, second]


def test_weights_that_are_found_askew_are_not_used() -> None:
    # Elements lie at multiples of their size.
    base = stage(weights=WEIGHTS[:-4] + b"\1\2\3\4", rest=b"\5\6" + WEIGHTS)
    other = stage(FLAT)
    assert other.coeff in base.coeff
    assert share_weights([base, other]) == [base, other]


def test_weights_that_nobody_knows_the_end_of_stay() -> None:
    # How much of its mask a selection reads is not known.
    fields = {
        "cmd_id": 1, "src_data_format": program.F32, "mask_data_format": program.F32, "src_nsize": 1,
        "src_csize": 1, "src_hsize": 1, "src_wsize": 8, "localmem_mask_l32": 1, "localmem_mask_h32": 1,
    }  # fmt: skip
    for side, address in (("src", program.X), ("dst", program.Y), ("mask", program.BASE)):
        fields |= {f"{side}_start_addr_l32": address & 0xFFFFFFFF, f"{side}_start_addr_h8": address >> 32}
    gdma = isa.encode("DMA_masked_select", fields) + isa.encode("sDMA_sys", {"cmd_id": 2})
    odd = stage(FLAT)
    odd = dataclasses.replace(odd, groups=(dataclasses.replace(odd.groups[0], gdma=gdma, gdma_count=2),))
    base = stage(rest=bytes(100))
    assert share_weights([base, odd]) == [base, odd]


def test_the_same_stages_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.bmodel", tmp_path / "b.bmodel", tmp_path / "c.bmodel"]
    for path in paths[:2]:
        model = written(path, stage(FLAT, rest=bytes(999)), stage(before=256), stage(LONG, name="other"))
    bmodel.write(paths[2], model)
    assert paths[0].read_bytes() == paths[1].read_bytes() == paths[2].read_bytes()


def test_a_stage_by_itself_has_only_what_it_reads() -> None:
    whole = stage(before=0x2000, rest=bytes(0x3000), ctx_addr=program.CTX + 0x8000)
    whole = dataclasses.replace(
        whole,
        groups=(program.group(at=program.BASE + 0x2000, ctx=program.CTX + 0x8000),),
        inputs=tuple(dataclasses.replace(t, address=t.address + 0x8000) for t in whole.inputs),
        outputs=tuple(dataclasses.replace(t, address=t.address + 0x8000) for t in whole.outputs),
    )
    alone = without_unread(whole)
    assert alone.coeff.startswith(WEIGHTS)
    assert len(alone.coeff) < 0x1000
    assert alone.ctx_addr == program.CTX
    np.testing.assert_array_equal(alone.run({"x": values()})["y"], program.expected(values()))
    assert without_unread(alone) == alone
    assert without_unread(stage()) == stage()


# --- running --------------------------------------------------------------------------


def test_the_shape_of_the_input_chooses_the_stage(tmp_path: Path) -> None:
    model = written(tmp_path / "m.bmodel", stage(), stage(FLAT, op=3))
    np.testing.assert_array_equal(model.run({"x": values()})["y"], program.expected(values()))
    y = model.run({"x": values(FLAT)})["y"]
    np.testing.assert_array_equal(y, values() - program.weights()[:, None, None])


def test_the_name_of_the_network_chooses_where_shapes_do_not(tmp_path: Path) -> None:
    model = written(tmp_path / "m.bmodel", stage(), stage(op=3, name="sub"), stage(FLAT, name="sub"))
    assert [network.name for network in model.networks] == ["add", "sub"]
    x = values()
    assert not np.array_equal(model.run({"x": x}, net="add")["y"], model.run({"x": x}, net="sub")["y"])
    np.testing.assert_array_equal(model.run({"x": values(FLAT)})["y"], program.expected(x))
    with pytest.raises(
        InputError, match=r"expected the name of a network .*these take such inputs: add, sub"
    ):
        model.run({"x": x})
    with pytest.raises(InputError, match=r"ad: expected the name of a network.*similar names: add"):
        model.run({"x": x}, net="ad")


@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        ({"x": np.zeros((2, 3), np.float32)}, r"got x \[2, 3\]$"),
        ({"z": program.x_values()}, r"got z \[1, 70, 6, 6\]$"),
        ({}, "got no inputs$"),
        ({"x": program.x_values(), "z": np.zeros(1)}, r"got x \[1, 70, 6, 6\], z \[1\]$"),
    ],
)
def test_other_inputs_are_refused_with_what_there_is(
    tmp_path: Path, inputs: dict[str, Any], got: str
) -> None:
    model = written(tmp_path / "m.bmodel", stage(), stage(FLAT))
    have = r"one of the stages \(stage 0: x \[1, 70, 6, 6\]; stage 1: x \[1, 70, 36\]\), "
    with pytest.raises(InputError, match=have + got):
        model.run(inputs)


def test_types_and_nan_are_judged_by_the_chosen_stage(tmp_path: Path) -> None:
    model = written(tmp_path / "m.bmodel", stage(), stage(FLAT))
    with pytest.raises(InputError, match="x: expected element type float32, got float64"):
        model.run({"x": np.zeros(FLAT)})


def test_one_stage_is_chosen_by_number_and_network(tmp_path: Path) -> None:
    path = tmp_path / "m.bmodel"
    written(path, stage(), stage(FLAT), stage(LONG, name="other"))
    assert bmodel.read(path, net="add", stage=1).inputs[0].shape == FLAT
    assert bmodel.read(path, stage=1).inputs[0].shape == FLAT
    assert bmodel.read(path, net="other").inputs[0].shape == LONG
    with pytest.raises(
        BModelError, match=r"expected one stage, got 2 of stage 0 .*add stage 0.*other stage 0"
    ):
        bmodel.read(path, stage=0)
    with pytest.raises(BModelError, match=r"expected one stage, got 0 of network add stage 7 .*stage 1: x"):
        bmodel.read(path, net="add", stage=7)
    with pytest.raises(BModelError, match=r"nothing: expected the name of a network.*similar names: other"):
        bmodel.read(path, net="nothing")
    alone = program.write_model(tmp_path / "one.bmodel")
    assert bmodel.read(alone, net="add", stage=0) == bmodel.read(alone)
    with pytest.raises(InputError, match="b: expected the name of a network"):
        bmodel.read(alone).run({"x": values()}, net="b")


@pytest.mark.parametrize(
    "name", ["inputs", "outputs", "groups", "coeff", "ctx_addr", "name", "debug", "others"]
)
def test_what_only_a_stage_has_is_an_error_that_says_what_to_do(tmp_path: Path, name: str) -> None:
    model = written(tmp_path / "m.bmodel", stage(), stage(FLAT))
    assert isinstance(model, BModelFile)
    with pytest.raises(BModelError, match=r"expected one stage, got 2 \(choose with --net and --stage"):
        getattr(model, name)
    assert (model.chip, model.has_digest, model.path) == ("BM1684X", True, tmp_path / "m.bmodel")
    with pytest.raises(AttributeError):
        getattr(model, f"{name}_")


# --- the file -------------------------------------------------------------------------


def test_debug_info_of_each_stage_comes_back(tmp_path: Path) -> None:
    info = DebugInfo(program.DEBUG)
    other = DebugInfo([DebugEntry("tiu", 1, "tpu.Sub", "Sub_1")])
    stages = [
        dataclasses.replace(stage(shape), debug=told)
        for shape, told in ((program.SHAPE, info), (FLAT, other), (LONG, DebugInfo()))
    ]
    model = written(tmp_path / "m.bmodel", *stages)
    assert [one.debug.entries() for one in model.stages] == [info.entries(), other.entries(), []]
    side = debug_path(tmp_path / "m.bmodel")
    document = json.loads(side.read_bytes())
    document["stages"].pop()
    side.write_text(json.dumps(document))
    assert [len(one.debug) for one in bmodel.read(tmp_path / "m.bmodel").stages] == [0, 0, 0]


def test_notes_of_each_stage_come_back(tmp_path: Path) -> None:
    how = Preprocess(mean=(0.1, 2.0, 3.0), onnx_type="float16")

    def noted(shape: tuple[int, ...], preprocess: Preprocess | None, others: dict[str, str]) -> BModel:
        kind = preprocess.onnx_type if preprocess else ""
        tensor = PlacedTensor("x", shape, "f32", program.X, onnx_type=kind, preprocess=preprocess)
        return dataclasses.replace(stage(), inputs=(tensor,), others=others)

    seconds: list[tuple[Preprocess | None, dict[str, str]]] = [
        (how, {"length": "a"}),
        (how, {"length": "b"}),
        (None, {}),
    ]
    for second in seconds:
        stages = [noted(program.SHAPE, how, {"length": "a"}), noted(FLAT, *second)]
        model = written(tmp_path / "m.bmodel", *stages)
        for got, want in zip(model.stages, stages, strict=True):
            (a,), (b,) = got.inputs, want.inputs
            assert (a.onnx_type, a.preprocess, got.others) == (b.onnx_type, b.preprocess, want.others)


def test_the_runtime_is_told_of_the_most_activations_of_a_network(tmp_path: Path) -> None:
    # Each stage has its own size beside it: extracted, it is as it was.
    small, large = stage(), stage(FLAT, ctx_size=0x9000)
    model = written(tmp_path / "m.bmodel", small, large, stage(name="other", ctx_size=0xA000))
    assert [one.ctx_size for one in model.stages] == [0x8000, 0x9000, 0xA000]
    tables = container.read_container(tmp_path / "m.bmodel").model
    sizes = [[stage["ctx_sizes"] for stage in net["parameter"]] for net in tables["net"]]
    assert sizes == [[[0x9000], [0x9000]], [[0xA000]]]
    assert tables["neuron_size"] == 0xA000


def _with(first: BModel, **changes: Any) -> BModel:
    return dataclasses.replace(first, inputs=(dataclasses.replace(first.inputs[0], **changes),))


MISFITS = {
    "shape": (stage(), r"stages of different shapes, got x \[1, 70, 6, 6\] twice"),
    "name": (_with(stage(FLAT), name="z"), "stages of equal inputs, got x f32 and z f32"),
    "type": (_with(stage(FLAT), dtype="i32"), "stages of equal inputs, got x f32 and x i32"),
    "scale": (
        _with(stage(FLAT), scale=0.5),
        r"stages of equal inputs, got x \* 1, zero 0 and x \* 0.5, zero 0",
    ),
    "outputs": (
        dataclasses.replace(stage(FLAT), outputs=(PlacedTensor("z", FLAT, "f32", program.Y),)),
        "stages of equal outputs, got y f32 and z f32 .*compile it to a file that is called otherwise",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_stages_of_a_network_that_do_not_go_together_are_refused(name: str) -> None:
    other, message = MISFITS[name]
    with pytest.raises(BModelError, match=f"network add: expected {message}"):
        bmodel.join([stage(), other])
    bmodel.join([stage(), dataclasses.replace(other, name="another")])


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(BModelError, match="at least one stage, got none"):
        bmodel.join([])


def test_many_shapes_are_listed_in_short(tmp_path: Path) -> None:
    count = 2520
    shapes = [(n, count // n) for n in range(1, 60) if count % n == 0]
    model = written(tmp_path / "m.bmodel", *map(stage, shapes))
    assert all(math.prod(one.inputs[0].shape) == count for one in model.stages)
    with pytest.raises(InputError, match=rf"x \[1, 2520\]; .*; and {len(shapes) - 12} more\), got"):
        model.run({"x": np.zeros(3, np.float32)})


def test_places_of_tensors_move_with_the_activations() -> None:
    outside, inside = [0, 0, [1, 1, 1, 8], [0, 0, 0, 1], [0, 0, 0, 1]], [0, 1, [1] * 4, [1] * 4, [1] * 4]
    tables = PlaceTables(
        [["y", "f32", [1, 70, 6, 6], None, 0, program.Y], ["held", "f32", [4], None, 0, None]],
        [outside, inside],
        [[0, 1, 1, 3, 0, 0, program.Y, 0, 0, []], [0, 1, 1, 2, 0, 1, 64, 0, 0, []]],
    )
    told = DebugInfo.of([Source("tpu.Add", "Add_3", "y")], [Commands(0, "gdma", 1, 3, 0)], tables)
    own = np.linspace(3, 4, 70, dtype=np.float32).tobytes()
    double = dataclasses.replace(
        stage(rest=bytes(300) + own),
        groups=(program.group(), program.group(at=program.BASE + len(WEIGHTS) + 300)),
        debug=told,
    )
    _, moved = share_weights([stage(FLAT, rest=bytes(0x1000 - len(WEIGHTS))), double])
    assert moved.outputs[0].address == program.Y + 0x1000
    assert {name: home.address for name, home in moved.debug.tensors.items()} == {
        "y": program.Y + 0x1000,
        "held": None,
    }
    assert [place.address for place in moved.debug.places] == [program.Y + 0x1000, 64]
    assert moved.debug.entries() == told.entries()

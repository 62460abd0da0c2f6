"""The vendor's bmodels have no names; they are debugged by commands and addresses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tpumlir import bmodel
from tpumlir.debugger import Options, Session
from tpumlir.tensors import TensorSpec, random_inputs

_MOST = 3_000


@pytest.mark.samples
def test_vendor_bmodels_run_stop_and_go_back(samples: list[Path]) -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for path in samples:
        model = bmodel.read(path, legality=False)
        specs = [TensorSpec(t.name, t.shape, "f32" if t.is_quantized else t.dtype) for t in model.inputs]
        numbers = random_inputs(specs)
        inputs = {t.name: t.stored(numbers[t.name]) for t in model.inputs}
        session = Session(model, inputs, options=Options(history=1 << 22))
        if session.total > _MOST:
            continue
        seen += 1
        want = model.run(inputs)
        middle = int(rng.integers(1, session.total - 2))
        key = session.program.key(middle)
        session.break_command(key.engine, key.id, key.group)
        assert session.run().position == middle
        before = session.touched()
        held = session.machine.read(*model.ctx_range[:1], model.ctx_size)
        assert session.cont().reason == "end"
        session.goto(middle)
        assert session.machine.read(*model.ctx_range[:1], model.ctx_size) == held
        assert session.touched() is before
        assert session.where().op == ""
        assert session.cont().reason == "end"
        for spec in model.outputs:
            np.testing.assert_array_equal(session.tensor(spec.name).values, spec.numbers(want[spec.name]))
    assert seen

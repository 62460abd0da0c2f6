"""The whole road of a model in one shape: ONNX -> Top -> Tpu -> bmodel, validated three times."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tpumlir.data.preprocess import Preprocess
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.road.deploy import Deployed, check_target, deploy_module
from tpumlir.road.fuse import Fusion
from tpumlir.road.options import DeployOptions, JudgeOptions
from tpumlir.road.quantize import SearchOptions, with_tables
from tpumlir.road.steps import Step, silent
from tpumlir.road.transform import Transformed, transform_model

if TYPE_CHECKING:
    from tpumlir.accuracy.search import QuantizeResult
    from tpumlir.bmodel import BModel
    from tpumlir.compare import Comparison
    from tpumlir.data.inputs import TestInput
    from tpumlir.ir.module import Module
    from tpumlir.onnx.options import ImportOptions
    from tpumlir.road.divergence import Finding

Array = npt.NDArray[Any]


@dataclass
class Compiled:
    """The whole road."""

    top: Transformed
    deployed: Deployed
    search: QuantizeResult | None = None
    target: DeployOptions | None = None
    """What it was deployed for, with the tables that a search found."""

    @property
    def stages(self) -> list[Compiled]:
        """What became of each shape: of the only one."""
        return [self]

    @property
    def divergences(self) -> list[Finding]:
        """Where failed validations first go wrong, in the order of the stages."""
        return self.top.divergences + self.deployed.divergences

    @property
    def validations(self) -> list[Comparison]:
        """The three validations in order."""
        first = [self.top.validation] if self.top.validation else []
        return first + self.deployed.validations

    @property
    def bmodel(self) -> BModel:
        """The result."""
        return self.deployed.bmodel


def compile_model(  # noqa: PLR0913 - what compile_onnx has, in groups
    source: str | os.PathLike[str] | Any,
    model: ImportOptions,
    target: DeployOptions,
    judge: JudgeOptions,
    *,
    not_inference: bool = False,
    search: SearchOptions | None = None,
    step: Step = silent,
) -> Compiled:
    """ONNX -> bmodel, every stage validated, Top not with ``not_inference``. Raises: as ``compile_onnx``."""
    check_target(target)
    if search:
        search.check(target)
    frames: dict[str, Array] = {}

    def prepared(module: Module) -> TestInput:
        """What the model reads of the frames that the bmodel will read."""
        fusion = Fusion.of(module, target)
        frames.update(fusion.read(judge))
        return fusion.without(frames)

    if target.fuse_preprocess and model.preprocess is None:
        model = replace(model, preprocess=Preprocess())
    top = transform_model(
        source, model, replace(judge, validate=not not_inference),
        prepare=prepared if target.fuse_preprocess else None, step=step,
    )  # fmt: skip
    found, module = None, top.module
    if search:
        target, found = with_tables(module, target, search, step=step)
        module = found.module if found else module
    if not_inference:
        return Compiled(top, deploy_module(module, target, judge, step=step), found, target)
    judge = replace(judge, test_input=frames or top.inputs)
    reference = top.inputs | top.tensors
    if module is not top.module:
        # Equalised channels are other numbers; the outputs are still those that ONNX Runtime agreed with.
        with step("run the changed Top"):
            tensors = ModuleInterpreter(module).run(
                top.inputs, all_tensors=True, allow_nan=judge.allow_nonfinite
            )
        outputs = {spec.name for spec in module.outputs}
        reference |= {name: value for name, value in tensors.items() if name not in outputs}
    deployed = deploy_module(module, target, judge, reference=reference, step=step)
    return Compiled(top, deployed, found, target)

"""What a deploy can compute in."""

FLOAT_TYPES: frozenset[str]
"""Element types of floats in modules; arrays hold all of them as float32."""

class StageBounds:
    """How far a stage may be off the one before: least norms, units in the last place of elements."""

    @property
    def cosine(self) -> float: ...
    @property
    def euclid(self) -> float: ...
    @property
    def operation_units(self) -> float: ...
    @property
    def model_units(self) -> float: ...

class PrecisionInfo:
    """A row of the registry of precisions (``support/Precisions.h``)."""

    @property
    def name(self) -> str: ...
    @property
    def storage(self) -> str: ...
    @property
    def compute(self) -> str: ...
    @property
    def needs_calibration(self) -> bool: ...
    @property
    def is_half(self) -> bool: ...
    @property
    def unit(self) -> float:
        """Half the distance from 1 to the next number: what rounding to nearest may change of a number."""

    @property
    def largest(self) -> float: ...
    @property
    def own_units(self) -> float: ...
    @property
    def smallest(self) -> float: ...
    @property
    def lowering(self) -> StageBounds: ...
    @property
    def device(self) -> StageBounds: ...

def precisions() -> list[PrecisionInfo]:
    """All precisions, the most precise first."""

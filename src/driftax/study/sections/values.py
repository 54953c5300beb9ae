"""The values of a study file: what one number, list or word may be, said once by its type.

A field's description is what an error message tells the user to write.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic_core import PydanticCustomError


def _array(*ranks: int) -> BeforeValidator:
    """Reads a number, list or list of lists of finite numbers into (nested) tuples."""

    def read(value: Any) -> Any:
        result, rank = _tuples(value, "")
        if rank not in ranks:
            raise PydanticCustomError("rank", "a " + ("number", "list", "matrix")[min(rank, 2)])  # type: ignore[arg-type]
        return result

    return BeforeValidator(read)


def _tuples(value: Any, place: str) -> tuple[Any, int]:
    if isinstance(value, list | tuple):
        if not value:
            raise PydanticCustomError("empty", "an empty list")
        parts = [_tuples(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if len({(rank, len(part) if rank else 0) for part, rank in parts}) > 1:
            raise PydanticCustomError("ragged", "rows that differ in length")
        return tuple(part for part, _ in parts), parts[0][1] + 1
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("entry", "{found}", {"found": f"{value!r}{place and f' at {place}'}"})
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PydanticCustomError("entry", "{found}", {"found": f"{number}{place and f' at {place}'}"})
    return number, 0


_LARGEST = 2**63
LIST = "a list of finite numbers, one per parameter"
Positive = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0, description="a number above 0, such as 0.01")
]
NonNegative = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0, description="a number of 0 or more")
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, description="a finite number")]
Decay = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1, description="a number in [0, 1), such as 0.9")
]
Flag = Annotated[bool, Field(strict=True, description="true or false")]
AtLeastZero = Annotated[int, Field(strict=True, ge=0, lt=_LARGEST, description="a whole number of 0 or more")]
AtLeastOne = Annotated[int, Field(strict=True, ge=1, lt=_LARGEST, description="a whole number of 1 or more")]
AtLeastTwo = Annotated[int, Field(strict=True, ge=2, lt=_LARGEST, description="a whole number of 2 or more")]
Vector = Annotated[Any, _array(1), Field(description=LIST)]
Filled = Annotated[Any, _array(0, 1), Field(description=f"{LIST}, or one number for all of them")]
Matrix = Annotated[
    Any,
    _array(2),
    Field(description="a square matrix of finite numbers, row by row, such as [[1.0, 0.5], [0.5, 1.0]]"),
]
Covariance = Annotated[
    Any,
    _array(0, 1, 2),
    Field(description="a variance, a list of variances, or a symmetric matrix, row by row"),
]
Scales = Annotated[
    Any, _array(0, 1), Field(description="a number of 0 or more, or a list with one per parameter")
]
_ENTRIES = "a list of finite numbers, one per component, such as [0.95, 0.05]"
Entries = Annotated[Any, _array(1), Field(description=_ENTRIES)]
Ladder = Annotated[
    Any, _array(1), Field(description="a list of factors in (0, 1], one per rung, such as [1.0, 0.5, 0.25]")
]
WeightDecayForm = Annotated[
    Literal["decoupled", "l2"],
    Field(description='"decoupled" (beside the step) or "l2" (inside the gradient)'),
]
DenominatorName = Annotated[
    Literal["updated", "previous"],
    Field(description='"updated" (v_{k+1}: PyTorch, optax) or "previous" (v_k: the papers)'),
]


class Section(BaseModel):
    """One table of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    _folder: Path = PrivateAttr(Path())

    def beside(self, folder: Path) -> Section:
        """The section with its relative paths read from `folder`, that of the study file."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

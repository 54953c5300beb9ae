"""[start], [regime] and [compare]."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jax.numpy as jnp
from pydantic import ConfigDict, Field

from driftax.regime import Regime
from driftax.study.sections.values import (
    LIST,
    AtLeastOne,
    AtLeastTwo,
    AtLeastZero,
    Filled,
    Flag,
    Ladder,
    Section,
    Vector,
)


class StartSection(Section):
    """Where the comparison starts: a state, or the optimizer's own ensemble after `handover` steps.

    Beside `params` any vector of the optimizer's state may be given by its name (`mu`, `nu`, `nu_max`). The
    `mu` of momentum is the moving average of gradients: (1 - decay) times the buffer of a heavy ball. One number
    stands for a vector of it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Filled]

    params: Vector | None = Field(None, description=LIST)
    step: AtLeastZero = 0
    handover: AtLeastOne | None = Field(None, description="a whole number of 1 or more")

    @property
    def moments(self) -> dict[str, Any]:
        """The slots beside the params that are given: a tuple, or one number for all entries."""
        return dict(self.__pydantic_extra__ or {})

    def arrays(self) -> dict[str, Any]:
        """The slots that are given, as arrays that broadcast to their length."""
        params = {} if self.params is None else {"params": self.params}
        return {slot: jnp.asarray(value) for slot, value in {**params, **self.moments}.items()}


class RegimeSection(Section):
    """How everything moves along the ladder; the ladder falls."""

    name: Annotated[
        Literal["ballistic", "batch-equivalent"], Field(description='"ballistic" or "batch-equivalent"')
    ]
    ladder: Ladder = (1.0,)

    @property
    def regime(self) -> Regime:
        return Regime(self.name)


class CompareSection(Section):
    """What `simulate` and `verify` compare, and where.

    `precision` is that of the members' states (statistics are float64). `randomness = "fast"` draws normals from
    carried lanes in single precision, several times cheaper than counters; `"sobol"` makes every leaf of members
    one randomised set of quasi-Monte Carlo points, and its mean one value of the standard error.
    """

    steps: AtLeastOne
    record: Annotated[
        tuple[AtLeastOne, ...], Field(description="a list of whole numbers from 1 to steps")
    ] = ()
    at: Annotated[Literal["end", "max"], Field(description='"end" or "max"')] = "end"
    models: Annotated[tuple[str, ...], Field(description="a list of models")] = ("derived-1", "derived-2")
    observables: Annotated[tuple[str, ...], Field(description="a list of observables")] = ("loss",)
    members: AtLeastTwo | None = Field(
        None, description="a whole number of 2 or more; left out, it grows until every verdict is decided"
    )
    scheme: (
        Annotated[
            Literal["splitting", "weak-2", "euler-maruyama"],
            Field(description='"splitting", "weak-2" or "euler-maruyama"'),
        ]
        | None
    ) = None
    extrapolate: Flag = True
    controls: Flag = True
    substeps: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    coordinates: Annotated[Literal["natural", "log"], Field(description='"natural" or "log"')] = "natural"
    method: Annotated[Literal["finite-step", "taylor"], Field(description='"finite-step" or "taylor"')] = (
        "finite-step"
    )
    precision: Annotated[Literal["float64", "float32"], Field(description='"float64" or "float32"')] = (
        "float64"
    )
    randomness: Annotated[
        Literal["counter", "fast", "sobol"], Field(description='"counter", "fast" or "sobol"')
    ] = "counter"
    pool: AtLeastOne | None = Field(None, description="a whole number of 1 or more")

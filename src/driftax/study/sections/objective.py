"""[objective]: what is minimised."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

import jax.numpy as jnp
from pydantic import Field

from driftax._errors import DriftaxError
from driftax.data import load_data
from driftax.networks import named_network
from driftax.objective import (
    AbstractObjective,
    DoubleWell,
    FunctionObjective,
    Quadratic,
    Rosenbrock,
    Saddle,
    polynomial,
)
from driftax.objective.models import finite_sum_by_name
from driftax.study.entry import load_entry
from driftax.study.sections.values import (
    LIST,
    AtLeastOne,
    AtLeastTwo,
    Matrix,
    NonNegative,
    Number,
    Positive,
    Section,
    Vector,
    _array,
)


class QuadraticSection(Section):
    """The loss `1/2 (x - minimum)^T hessian (x - minimum)`."""

    name: Literal["quadratic"]
    hessian: Matrix
    minimum: Vector | None = Field(None, description=LIST)

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Quadratic(self.hessian, self.minimum), None


class RosenbrockSection(Section):
    """The chained Rosenbrock loss."""

    name: Literal["rosenbrock"]
    dim: AtLeastTwo = 2
    steepness: Positive = 100.0

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Rosenbrock(self.dim, self.steepness), None


class SaddleSection(Section):
    """The embedded saddle `1/2 sum_i c_i x_i^2 + q/4 x_i^4`, the quartic where c_i is below 0."""

    name: Literal["saddle"]
    curvatures: Annotated[
        Any, _array(1), Field(description="a list of numbers of both signs, one per parameter")
    ] = (1.0, -1.0)
    quartic: Positive = 1.0

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Saddle(self.curvatures, self.quartic), None


class DoubleWellSection(Section):
    """Independent double wells `depth ((x_i / width)^2 - 1)^2 + tilt x_i`."""

    name: Literal["double_well"]
    dim: AtLeastOne = 1
    depth: Positive = 0.25
    width: Positive = 1.0
    tilt: Number = 0.0

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return DoubleWell(self.dim, self.depth, self.width, self.tilt), None


class PolynomialSection(Section):
    """The pair `f1 = 2 c (x - x1)^2 (x - x2)^4`, `f2 = 2 d (x - x3)^2` at noise level alpha.

    A sum over two examples; params are -1.2 where [start] has none.
    """

    name: Literal["polynomial"]
    alpha: NonNegative = 0.0
    c: Positive = 0.1
    d: Positive = 1.0
    x1: Number = -1.1
    x2: Number = 1.9
    x3: Number = 0.1

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return polynomial(**self.model_dump(exclude={"name"})), jnp.asarray([-1.2])


class PythonSection(Section):
    """A loss of your own, a function of params [dim]; reading the study runs the file that defines it."""

    name: Literal["python"]
    entry: Annotated[str, Field(strict=True, description='"path/to/file.py:function"')]
    dim: AtLeastOne

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return FunctionObjective(load_entry(self.entry, self._folder), self.dim), None


class FiniteSumSection(Section):
    """The mean loss of a small model over a data set; it brings the params a study starts from."""

    name: Literal["finite_sum"]
    data: Annotated[Literal["breast_cancer", "diabetes"], Field(description='"breast_cancer" or "diabetes"')]
    model: Annotated[
        Literal["logistic", "mlp", "linear"], Field(description='"logistic", "mlp" or "linear" (diabetes)')
    ]
    width: AtLeastOne = 8

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return finite_sum_by_name(self.data, self.model, seed, self.width)


class NetworkSection(Section):
    """The mean loss of a neural network over a data set; it brings the params a study starts from."""

    name: Literal["network"]
    data: Annotated[
        Literal[
            "breast_cancer", "digits", "diabetes", "wine", "iris", "mnist", "cifar10", "tiny-shakespeare"
        ],
        Field(description='a data set of `driftax data list`, such as "breast_cancer"'),
    ]
    model: Annotated[
        Literal["logistic", "shallow", "mlp", "cnn", "resnet", "vision_transformer", "char_transformer"],
        Field(description='a network, such as "mlp", "resnet" or "char_transformer"'),
    ]
    examples: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    test_examples: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    length: AtLeastOne | None = Field(None, description="the characters of a window, 1 or more")
    width: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    depth: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    heads: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    blocks: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    patch: AtLeastOne | None = Field(None, description="a whole number of 1 or more")

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        if self.length is not None and self.data != "tiny-shakespeare":
            raise DriftaxError(
                "length", f'length = {self.length} for "{self.data}"', "no length: it is no text"
            )
        sizes = {key: getattr(self, key) for key in ("width", "depth", "heads", "blocks", "patch")}
        given = tuple((key, size) for key, size in sizes.items() if size is not None)
        precision = str(jnp.zeros(0).dtype)
        return _network(
            self.data, self.model, self.examples, self.test_examples, self.length, given, seed, precision
        )


@lru_cache(maxsize=2)
def _network(
    data: str,
    model: str,
    examples: int | None,
    test: int | None,
    length: int | None,
    sizes: tuple[tuple[str, int], ...],
    seed: int,
    precision: str,
) -> tuple[AbstractObjective, Any]:
    """A study is built several times, and its data may be large."""
    cut = {} if length is None else {"length": length}
    loaded = load_data(data, examples=examples, test=test, seed=seed, **cut)
    return named_network(model, loaded, seed=seed, **dict(sizes))


ObjectiveSection = (
    QuadraticSection
    | RosenbrockSection
    | SaddleSection
    | DoubleWellSection
    | PolynomialSection
    | FiniteSumSection
    | NetworkSection
    | PythonSection
)
OBJECTIVES: dict[str, type[Section]] = {
    "quadratic": QuadraticSection,
    "rosenbrock": RosenbrockSection,
    "saddle": SaddleSection,
    "double_well": DoubleWellSection,
    "polynomial": PolynomialSection,
    "finite_sum": FiniteSumSection,
    "network": NetworkSection,
    "python": PythonSection,
}

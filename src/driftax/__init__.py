"""driftax: stochastic optimizers as stochastic differential equations, with error bars.

The public names, in the order of the pipeline. They are imported on first use, so that
`import driftax` (and every `driftax --help`) stays fast and touches no JAX flag.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftax._errors import DriftaxError as DriftaxError
    from driftax.advice.forecast import forecast as forecast
    from driftax.advice.rehearsing import svag_check as svag_check
    from driftax.bridge.torch_optimizers import from_torch as from_torch
    from driftax.chain import Chain as Chain
    from driftax.compare.choose import choose_model as choose_model
    from driftax.compare.order_test import OrderTest as OrderTest
    from driftax.data.load import load_data as load_data
    from driftax.equation import ModifiedEquation as ModifiedEquation
    from driftax.equation.certificate import local_order as local_order
    from driftax.equation.derivation import derive as derive
    from driftax.measurement._value import Measurement as Measurement
    from driftax.measurement.of_jax import measure as measure
    from driftax.networks._objective import network as network
    from driftax.noise.empirical import EmpiricalNoise as EmpiricalNoise
    from driftax.noise.gaussian import GaussianNoise as GaussianNoise
    from driftax.noise.label import LabelNoise as LabelNoise
    from driftax.noise.linear_regression import LinearRegressionNoise as LinearRegressionNoise
    from driftax.noise.minibatch import MinibatchNoise as MinibatchNoise
    from driftax.noise.mixture import GaussianMixture as GaussianMixture
    from driftax.noise.skewed import SkewedNoise as SkewedNoise
    from driftax.noise.student_t import StudentT as StudentT
    from driftax.objective.double_well import DoubleWell as DoubleWell
    from driftax.objective.finite_sum import FiniteSum as FiniteSum
    from driftax.objective.function import FunctionObjective as FunctionObjective
    from driftax.objective.polynomial import polynomial as polynomial
    from driftax.objective.quadratic import Quadratic as Quadratic
    from driftax.objective.rosenbrock import Rosenbrock as Rosenbrock
    from driftax.objective.saddle import Saddle as Saddle
    from driftax.optimizer.adagrad import Adagrad as Adagrad
    from driftax.optimizer.adam import Adam as Adam
    from driftax.optimizer.amsgrad import AMSGrad as AMSGrad
    from driftax.optimizer.from_optax import from_optax as from_optax
    from driftax.optimizer.groups import Grouped as Grouped
    from driftax.optimizer.lion import Lion as Lion
    from driftax.optimizer.momentum import Momentum as Momentum
    from driftax.optimizer.nadam import NAdam as NAdam
    from driftax.optimizer.radam import RAdam as RAdam
    from driftax.optimizer.rmsprop import RMSprop as RMSprop
    from driftax.optimizer.schedule import Scheduled as Scheduled
    from driftax.optimizer.sgd import SGD as SGD
    from driftax.optimizer.signsgd import SignSGD as SignSGD
    from driftax.optimizer.signum import Signum as Signum
    from driftax.regime import Regime as Regime
    from driftax.scaling.scale import scale as scale

__version__ = "0.1.0"

_HOME = {
    "DriftaxError": "_errors",
    "Regime": "regime",
    "scale": "scaling.scale",
    "Quadratic": "objective.quadratic",
    "Rosenbrock": "objective.rosenbrock",
    "Saddle": "objective.saddle",
    "DoubleWell": "objective.double_well",
    "FiniteSum": "objective.finite_sum",
    "polynomial": "objective.polynomial",
    "FunctionObjective": "objective.function",
    "load_data": "data.load",
    "network": "networks._objective",
    "GaussianNoise": "noise.gaussian",
    "StudentT": "noise.student_t",
    "SkewedNoise": "noise.skewed",
    "GaussianMixture": "noise.mixture",
    "MinibatchNoise": "noise.minibatch",
    "EmpiricalNoise": "noise.empirical",
    "LinearRegressionNoise": "noise.linear_regression",
    "LabelNoise": "noise.label",
    "SGD": "optimizer.sgd",
    "Momentum": "optimizer.momentum",
    "SignSGD": "optimizer.signsgd",
    "Signum": "optimizer.signum",
    "Lion": "optimizer.lion",
    "Adagrad": "optimizer.adagrad",
    "RMSprop": "optimizer.rmsprop",
    "Adam": "optimizer.adam",
    "AMSGrad": "optimizer.amsgrad",
    "Scheduled": "optimizer.schedule",
    "NAdam": "optimizer.nadam",
    "RAdam": "optimizer.radam",
    "Grouped": "optimizer.groups",
    "from_optax": "optimizer.from_optax",
    "from_torch": "bridge.torch_optimizers",
    "Chain": "chain",
    "ModifiedEquation": "equation",
    "derive": "equation.derivation",
    "local_order": "equation.certificate",
    "OrderTest": "compare.order_test",
    "choose_model": "compare.choose",
    "Measurement": "measurement",
    "measure": "measurement.of_jax",
    "forecast": "advice.forecast",
    "svag_check": "advice.rehearsing",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'driftax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"driftax.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

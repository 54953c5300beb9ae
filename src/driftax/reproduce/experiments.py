"""All experiments, in the order they are listed and run."""

from driftax.reproduce import (
    callisti,
    compagnoni,
    compagnoni_sign,
    high_dimension,
    noise_laws,
    polynomial,
    tables,
)
from driftax.reproduce._value import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    *callisti.EXPERIMENTS,
    *polynomial.EXPERIMENTS,
    *compagnoni_sign.EXPERIMENTS,
    *compagnoni.EXPERIMENTS,
    *noise_laws.EXPERIMENTS,
    *high_dimension.EXPERIMENTS,
    *tables.EXPERIMENTS,
)

"""All experiments, in the order they are listed and run."""

from driftax.reproduce import (
    callisti_ballistic,
    callisti_noisy,
    callisti_starts,
    compagnoni,
    compagnoni_sign,
    high_dimension,
    noise_laws,
    polynomial,
    tables,
)
from driftax.reproduce._value import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    *callisti_ballistic.EXPERIMENTS,
    *callisti_noisy.EXPERIMENTS,
    *callisti_starts.EXPERIMENTS,
    *polynomial.EXPERIMENTS,
    *compagnoni_sign.EXPERIMENTS,
    *compagnoni.EXPERIMENTS,
    *noise_laws.EXPERIMENTS,
    *high_dimension.EXPERIMENTS,
    *tables.EXPERIMENTS,
)

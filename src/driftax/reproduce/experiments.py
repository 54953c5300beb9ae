"""All experiments, in the order they are listed and run: landscapes, which need no data, and networks."""

from driftax.reproduce import (
    callisti_ballistic,
    callisti_noisy,
    callisti_starts,
    compagnoni,
    compagnoni_sign,
    high_dimension,
    networks,
    noise_laws,
    polynomial,
    tables,
)
from driftax.reproduce._value import Experiment

LANDSCAPES: tuple[Experiment, ...] = (
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
NETWORKS: tuple[Experiment, ...] = networks.EXPERIMENTS
EXPERIMENTS = (*LANDSCAPES, *NETWORKS)

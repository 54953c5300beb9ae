"""All experiments, in the order they are listed and run."""

from driftax.reproduce import callisti, compagnoni, tables
from driftax.reproduce._value import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    *callisti.EXPERIMENTS,
    *compagnoni.EXPERIMENTS,
    *tables.EXPERIMENTS,
)

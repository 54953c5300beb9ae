"""What is minimised: a loss and its gradient on a flat vector of params."""

from driftax.objective._base import AbstractObjective as AbstractObjective
from driftax.objective.double_well import DoubleWell as DoubleWell
from driftax.objective.finite_sum import FiniteSum as FiniteSum
from driftax.objective.function import FunctionObjective as FunctionObjective
from driftax.objective.polynomial import polynomial as polynomial
from driftax.objective.quadratic import Quadratic as Quadratic
from driftax.objective.rosenbrock import Rosenbrock as Rosenbrock
from driftax.objective.saddle import Saddle as Saddle

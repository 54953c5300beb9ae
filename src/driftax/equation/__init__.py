"""The equation as a value: compiled, described, certified, and its noise as a factor."""

from driftax.equation._value import Method as Method
from driftax.equation._value import ModifiedEquation as ModifiedEquation
from driftax.equation._value import Record as Record
from driftax.equation.certificate import Certificate as Certificate
from driftax.equation.certificate import local_order as local_order
from driftax.equation.derivation import NODES as NODES
from driftax.equation.derivation import derive as derive

"""Which limiting dynamics a set of scaling exponents leads to."""

from driftax.limits._value import Exponents, Limit, Motion, Row
from driftax.limits.classify import classify
from driftax.limits.configuration import Configuration, place
from driftax.limits.diagram import phase_diagram
from driftax.limits.neighbours import neighbours

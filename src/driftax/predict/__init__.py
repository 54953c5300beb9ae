"""Closed-form predictions: phases, stationary laws, relaxation times, bounds and tails, each with its validity.

Everything here is a pure function of numbers and NumPy arrays; nothing needs JAX.
"""

from __future__ import annotations

from driftax.predict._value import Prediction as Prediction
from driftax.predict._value import Validity as Validity

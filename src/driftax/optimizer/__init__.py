"""Optimizers as Markov maps `state' = update(step, state, gradient)`, one small file each."""

from driftax.optimizer._base import AbstractOptimizer as AbstractOptimizer
from driftax.optimizer._base import DecayForm as DecayForm
from driftax.optimizer._base import Denominator as Denominator
from driftax.optimizer.adam import Adam as Adam
from driftax.optimizer.from_optax import from_optax as from_optax
from driftax.optimizer.rmsprop import RMSprop as RMSprop
from driftax.optimizer.sgd import SGD as SGD
from driftax.optimizer.signsgd import SignSGD as SignSGD

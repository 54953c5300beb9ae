"""Steps of an optimizer along gradients drawn once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from driftax.optimizer import DecayForm, Denominator, MomentumForm

DECOUPLED, L2 = DecayForm.DECOUPLED, DecayForm.L2
HEAVY, EMA = MomentumForm.HEAVY_BALL, MomentumForm.EMA
UPDATED, PREVIOUS = Denominator.UPDATED, Denominator.PREVIOUS
START = np.array([0.7, -1.2, 0.4])
GRADIENTS = np.random.default_rng(0).normal(size=(20, 3))


def run(optimizer, gradients=GRADIENTS, start=START):
    state = optimizer.init(jnp.asarray(start))
    update = jax.jit(lambda number, state, gradient: optimizer.update(number, state, gradient))
    states = []
    for number, gradient in enumerate(gradients):
        state = update(float(number), state, jnp.asarray(gradient))
        states.append(np.asarray(optimizer.pack(state)))
    return np.asarray(states)

"""The coupled ensemble of an extended equation against the weak errors found without Monte Carlo."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Chain, GaussianNoise, Quadratic, RMSprop
from driftax.optimizer import Denominator
from driftax.regime import Regime
from driftax.simulate.schemes import Integration
from driftax.statistics.streaming import controlled
from driftax.study.experiment import Experiment

H = 1 / 16
EXACT = -1.8551e-3  # of E x^2 at t = 1, by the solver of order/exact/test_extended.py
ON_ITS_OWN_STATE = -6.2615e-3
START = jnp.asarray([[0.3], [0.7]])


@pytest.mark.statistical
def test_the_ensemble_has_the_exact_weak_error():
    """False alarm 1e-6 per number; the third moment that order 2 needs is 20 standard errors, so power above 0.999999.

    The controls have mean 0 and take most of the variance away.
    """
    optimizer = RMSprop(H**0.5, 1 - 0.5 * H, 0.0, denominator=Denominator.PREVIOUS)
    chain = Chain(Quadratic([[1.0]]), GaussianNoise([0.5 / H]), optimizer, Regime.BATCH_EQUIVALENT)
    models = ("derived-2-extended",)
    experiment = Experiment(
        chain,
        START,
        0,
        0,
        (1.0,),
        (16,),
        False,
        models,
        ("params_sq", "nu_sq"),
        look_at=START,
        integration=Integration(substeps=1),
    )
    study = experiment.rung_study(0, seed=11)
    assert study.rung.levels == ((4, 8),)
    study.grow(16384)
    error = study.error(0, 0)
    assert error.failed == 0 and error.bias < 1e-4
    assert abs(error.weak_error - EXACT) < 4.9 * error.standard_error + error.bias
    assert abs(error.weak_error - ON_ITS_OWN_STATE) > 10 * error.standard_error
    for column in study.columns.controls:
        mean, deviation = controlled(study.moments, column, np.arange(0))
        assert abs(mean[-1]) < 4.9 * deviation[-1] + 1e-12
    _, plain = controlled(study.moments, study.columns.difference[0, 0], np.arange(0))
    assert error.standard_error**2 < plain[-1] ** 2 / 4

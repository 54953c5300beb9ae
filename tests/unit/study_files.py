"""Study files that tests change and read."""

from __future__ import annotations

import pytest

from driftax import DriftaxError
from driftax.study.spec import load_study

STUDY = """seed = 3
[objective]
name = "quadratic"
hessian = [[1.0, 0.5], [0.5, 1.0]]
[noise]
name = "gaussian"
covariance = [[0.3125, 0.25], [0.25, 0.3125]]
[optimizer]
name = "rmsprop"
learning_rate = 0.25
decay = 0.875
eps = 0.1
[start]
params = [1.5, -1.0]
nu = [1.0, 2.0]
[regime]
name = "ballistic"
ladder = [0.25, 1, 0.5]
[compare]
steps = 8
observables = ["loss", "nu_sq", "nu[1]"]
"""

FINITE_SUM = """
[objective]
name = "finite_sum"
data = "breast_cancer"
model = "logistic"
[noise]
name = "minibatch"
batch_size = 64
[optimizer]
name = "optax.adamw"
learning_rate = 0.04
[start]
handover = 8
[regime]
name = "ballistic"
[compare]
steps = 20
coordinates = "log"
"""


def reader(tmp_path):
    """Reads a study file after its text has been changed in places."""

    def read(*replacements, text=STUDY):
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / "study.toml"
        path.write_text(text)
        return load_study(path)

    return read


def refused(load, *replacements, text=STUDY) -> DriftaxError:
    with pytest.raises(DriftaxError) as caught:
        load(*replacements, text=text)
    assert "study.toml" in caught.value.asked
    assert caught.value.found and caught.value.instead
    return caught.value

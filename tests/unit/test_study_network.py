"""[objective] name = "network" in a study file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from driftax import DriftaxError
from driftax.study.build import build_chain, start_params
from driftax.study.identity import named_files
from driftax.study.spec import read_study

STUDY = """seed = 0
[objective]
name = "network"
data = "iris"
model = "shallow"
width = 3
examples = 30
test_examples = 10
[noise]
name = "minibatch"
batch_size = 8
[optimizer]
name = "sgd"
learning_rate = 0.25
[regime]
name = "ballistic"
ladder = [1.0, 0.5]
[compare]
steps = 4
models = ["derived-1"]
observables = ["loss", "accuracy", "test_loss", "test_accuracy"]
"""


def read(*replacements: tuple[str, str]):
    text = STUDY
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    return read_study("small.toml", text)


def test_a_study_of_a_network():
    study = read()
    chain = build_chain(study)
    assert chain.objective.size == 30
    assert chain.objective.dim == len(start_params(study)) == 4 * 3 + 3 + 3 * 3 + 3
    assert build_chain(study).objective.example_loss is chain.objective.example_loss  # compiled once
    other = start_params(read(("seed = 0", "seed = 1")))
    assert not np.array_equal(start_params(study), other)
    assert named_files(STUDY, Path()) == []


WRONG = {
    "data": (('"iris"', '"irsi"'), 'data = "iris"; known'),
    "model": (('"shallow"', '"shalow"'), 'model = "shallow"; known'),
    "key": (("width = 3", "widht = 3"), "instead: width"),
    "size": (("width = 3", "depth = 3"), "one of width"),
    "combination": (('"shallow"\nwidth = 3', '"char_transformer"'), "takes text"),
    "examples": (("examples = 30", "examples = 300"), "1 to 120"),
    "length": (("width = 3", "length = 3"), "no length"),
    "regression": (('"iris"', '"diabetes"'), '"accuracy", which the objective "network"'),
    "observable": (('"accuracy"', '"acuracy"'), '"accuracy"; known'),
    "objective": (
        (
            'name = "network"\ndata = "iris"\nmodel = "shallow"\nwidth = 3\nexamples = 30\ntest_examples = 10',
            'name = "finite_sum"\ndata = "breast_cancer"\nmodel = "logistic"',
        ),
        '"accuracy", which the objective "finite_sum"',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_studies(name):
    replacement, part = WRONG[name]
    with pytest.raises(DriftaxError) as caught:
        read(replacement)
    assert part in str(caught.value)

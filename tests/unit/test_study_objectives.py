"""The [objective] section of a study file: landscapes, and losses of one's own."""

from __future__ import annotations

import sys

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DoubleWell, DriftaxError, Saddle, polynomial
from driftax.study.build import build_chain, natural_start
from driftax.study.spec import load_study

# --- study files -------------------------------------------------------------------------------------------

STUDY = """[objective]
{objective}
[noise]
{noise}
[optimizer]
name = "sgd"
learning_rate = 0.25
[start]
{start}
[regime]
name = "ballistic"
"""
GAUSSIAN = 'name = "gaussian"\ncovariance = 0.1'
LOSSES = """from __future__ import annotations
from dataclasses import dataclass
import jax.numpy as jnp
from beside import FACTOR

print("words on standard output")
limit = 3.0

@dataclass
class Settings:
    factor: float = FACTOR

def bowl(params):
    return Settings().factor * jnp.sum(params**2)

def pair(params):
    return params

def steep(params):
    return jnp.sum(jnp.sqrt(params))
"""


@pytest.fixture
def load(tmp_path):
    def read(objective, start="params = [1.5, -1.0]", noise=GAUSSIAN):
        path = tmp_path / "study.toml"
        path.write_text(STUDY.format(objective=objective, start=start, noise=noise))
        return load_study(path)

    (tmp_path / "losses.py").write_text(LOSSES)
    (tmp_path / "beside.py").write_text("FACTOR = 2.0\n")
    yield read
    sys.modules.pop("beside", None)


def python(entry, dim=2):
    return f'name = "python"\nentry = "{entry}"\ndim = {dim}'


def test_landscapes_in_a_study(load):
    saddle = build_chain(load('name = "saddle"\ncurvatures = [2, -1.0]\nquartic = 0.5')).objective
    x = jnp.asarray([0.3, 0.8])
    assert float(saddle.loss(x)) == float(Saddle([2.0, -1.0], 0.5).loss(x))
    wells = build_chain(load('name = "double_well"\ndim = 2\ndepth = 1\nwidth = 2.0\ntilt = -0.1')).objective
    assert float(wells.loss(x)) == float(DoubleWell(2, 1.0, 2.0, -0.1).loss(x))
    assert float(build_chain(load('name = "saddle"')).objective.loss(x)) == float(Saddle().loss(x))


def test_the_polynomial_pair_in_a_study(load):
    noise = 'name = "minibatch"\nbatch_size = 8'
    study = load('name = "polynomial"\nalpha = 0.5\nd = 2.0', "", noise)
    chain = build_chain(study)
    np.testing.assert_array_equal(natural_start(study, chain), [[-1.2]])
    at = jnp.asarray([0.7])
    assert float(chain.objective.loss(at)) == float(polynomial(0.5, d=2.0).loss(at))
    study = load('name = "polynomial"', "params = [1.5]", noise)
    np.testing.assert_array_equal(natural_start(study, build_chain(study)), [[1.5]])


def test_a_loss_of_ones_own_in_a_study(load, monkeypatch, tmp_path, capsys):
    """Found beside the study wherever the command runs; run once; quiet; leaves the import path as it was."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = list(sys.path)
    chain = build_chain(load(python("losses.py:bowl")))
    assert float(chain.objective.loss(jnp.asarray([1.0, 2.0]))) == 10.0
    assert chain.objective == build_chain(load(python(f"{tmp_path}/losses.py:bowl"))).objective
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("words on standard output") == 1
    assert sys.path == before
    (tmp_path / "losses.py").write_text(LOSSES.replace("**2", "**4"))
    assert float(build_chain(load(python("losses.py:bowl"))).objective.loss(jnp.ones(2) * 2)) == 64.0


SECTIONS = {
    "saddle key": ('name = "saddle"\ncurvature = [1.0, -1.0]', "curvature", "unknown key", "curvatures"),
    "saddle signs": ('name = "saddle"\ncurvatures = [1.0, 1.0]', "Saddle", "no saddle", "one below"),
    "saddle matrix": ('name = "saddle"\ncurvatures = [[1.0]]', "curvatures", "a matrix", "a list"),
    "saddle quartic": ('name = "saddle"\nquartic = 0', "quartic", "0", "above 0"),
    "well dim": ('name = "double_well"\ndim = 0', "dim", "dim = 0", "1 or more"),
    "well tilt": ('name = "double_well"\ndim = 2\ntilt = 1.0', "tilt", "one well only", "below 0.3849"),
    "well nan": ('name = "double_well"\ntilt = nan', "tilt", "nan", "a finite number"),
    "alpha": ('name = "polynomial"\nalpha = -0.5', "alpha", "-0.5", "0 or more"),
    "polynomial params": ('name = "polynomial"', "params", "2 entries", "1 numbers"),
    "misspelt": ('name = "sadle"', "name", "sadle", '"saddle"'),
    "no entry": ('name = "python"\ndim = 2', "entry", "no entry", "file.py:function"),
    "no dim": ('name = "python"\nentry = "losses.py:bowl"', "dim", "no dim", "1 or more"),
    "entry as number": ('name = "python"\nentry = 3\ndim = 2', "entry", "entry = 3", "file.py:function"),
    "no colon": (python("losses.py"), "losses.py", "a colon", "file.py:function"),
    "no function": (python("losses.py:"), "losses.py:", "a colon", "file.py:function"),
    "no file": (python(":bowl"), ":bowl", "a colon", "file.py:function"),
    "missing file": (python("loses.py:bowl"), "loses.py:bowl", "no such file", '"losses.py:bowl"'),
    "missing folder": (python("a/b.py:bowl"), "a/b.py", "no such file", "file.py:function"),
    "folder": (python("..:bowl"), "..:bowl", "a colon", "file.py:function"),
    "missing function": (python("losses.py:bowls"), "losses.py:bowls", "no bowls in", '"losses.py:bowl"'),
    "a number": (python("losses.py:limit"), "losses.py:limit", "type float", "file.py:function"),
    "syntax": (python("syntax.py:f"), "syntax.py:f", "line 2", "python "),
    "exception": (python("broken.py:f"), "broken.py:f", "ZeroDivisionError in", "python "),
    "line": (python("broken.py:f"), "broken.py:f", "broken.py, line 3: division by zero", "python "),
    "exit": (python("script.py:f"), "script.py:f", "SystemExit in", "python "),
    "not scalar": (python("losses.py:pair"), "FunctionObjective(pair", "shape [2]", "jnp.sum"),
    "not finite": (python("losses.py:steep"), "[start] params", "the loss nan", "finite"),
    "length": (python("losses.py:bowl", 3), "params", "2 entries", "3 numbers"),
}


@pytest.mark.parametrize("case", SECTIONS)
def test_study_sections_refuse(case, load, tmp_path):
    (tmp_path / "syntax.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "broken.py").write_text("def f(x):\n    return x\n1 / 0\n")
    (tmp_path / "script.py").write_text("import sys\nsys.exit(2)\n")
    objective, asked, found, instead = SECTIONS[case]
    with pytest.raises(DriftaxError) as caught:
        load(objective)
    assert "study.toml" in caught.value.asked and asked in caught.value.asked
    assert found in caught.value.found
    assert instead in caught.value.instead


def test_minibatches_of_a_landscape_are_refused(load):
    with pytest.raises(DriftaxError, match="not a sum over examples"):
        load('name = "saddle"', noise='name = "minibatch"\nbatch_size = 8')

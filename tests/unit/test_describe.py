from __future__ import annotations

import itertools
import re

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from driftax import SGD, Adam, Chain, GaussianNoise, Quadratic, Regime, RMSprop, SignSGD, derive, from_optax
from driftax.compiler.obstruction import Obstruction
from driftax.equation import Method
from driftax.equation.describe import (
    as_latex,
    as_latex_lines,
    as_text,
    latex_to_text,
    obstruction_sentence,
    record_rows,
    title,
)
from driftax.noise import MinibatchNoise
from driftax.objective import FiniteSum
from driftax.optimizer import DecayForm, Denominator
from driftax.report.mathml import mathml

QUADRATIC = Quadratic(jnp.array([[1.0, 0.5], [0.5, 1.0]]))
NOISE = GaussianNoise(jnp.array([0.3, 0.2]))

OPTIMIZERS = {
    "sgd": SGD(0.1, 0.2),
    "signsgd": SignSGD(0.1, 0.2),
    "signsgd-l2": SignSGD(0.1, 0.2, DecayForm.L2),
    "rmsprop": RMSprop(0.25, 0.875, 0.1),
    "rmsprop-l2": RMSprop(0.25, 0.875, 1e-8, 0.1, DecayForm.L2, Denominator.PREVIOUS, True),
    "adam": Adam(0.1, weight_decay=0.01),
    "adam-plain": Adam(0.1, bias_correction=False),
    "optax": from_optax(lambda s: optax.adam(0.1 * s, 1 - 0.1 * s, 1 - 0.01 * s), learning_rate=0.1),
}


def equation(optimizer, regime=Regime.BALLISTIC, noise=NOISE, objective=QUADRATIC, log=False, **choices):
    return derive(Chain(objective, noise, optimizer, regime, log), nodes=7, **choices)


def obstructed(of, third, fourth):
    """The equation with an obstruction of these sizes."""
    found = Obstruction(
        third, fourth, "d/dparams[0] d/dnu[0] d/dnu[0]", "d/dnu[0] d/dnu[0] d/dnu[0] d/dnu[0]"
    )
    return eqx.tree_at(lambda e: e.obstruction, of, found, is_leaf=lambda leaf: leaf is None)


def line(of, label):
    return "\n".join(latex for name, latex in as_latex_lines(of) if name == label)


# A black box moves in the one regime of its family and cannot be expanded.
CASES = [("optax", Regime.BALLISTIC, Method.FINITE_STEP)] + [
    case for case in itertools.product(OPTIMIZERS, Regime, Method) if case[0] != "optax"
]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("name", "regime", "method"), CASES)
def test_every_line_is_mathematics(name, regime, method, order):
    optimizer = OPTIMIZERS[name]
    found = equation(optimizer, regime, weak_order=order, method=method)
    for label, latex in as_latex_lines(found):
        assert label and mathml(latex).startswith("<math"), latex
        assert latex.count("{") == latex.count("}")
        plain = latex_to_text(latex)
        assert plain and not set(plain) & set("\\{}$&"), plain
    for line_of_update in optimizer.latex():
        assert line_of_update in as_latex(found)
    assert as_latex(found).startswith("\\begin{aligned}\n&\\text{Update} && ")


@pytest.mark.parametrize(
    ("name", "update", "numbers"),
    [
        ("sgd", r"x_{k+1} = x_k - \eta\,g_k - \eta\lambda\,x_k", r"\eta = 0.1,\quad \lambda = 0.2"),
        ("signsgd", r"x_{k+1} = x_k - \eta\,\operatorname{sign}(g_k) - \eta\lambda\,x_k", r"\lambda = 0.2"),
        ("signsgd-l2", r"x_{k+1} = x_k - \eta\,\operatorname{sign}(\hat{g}_k)", r"\lambda = 0.2"),
        (
            "rmsprop",
            r"x_{k+1} = x_k - \eta\,\frac{g_k}{\sqrt{\nu_{k+1}} + \epsilon}",
            r"\eta = 0.25,\quad \beta = 0.875,\quad \epsilon = 0.1",
        ),
        (
            "rmsprop-l2",
            r"x_{k+1} = x_k - \eta\,\frac{\hat{g}_k}{\sqrt{\nu_{k}/c_k} + \epsilon}",
            r"\epsilon = 10^{-8},\quad \lambda = 0.1",
        ),
        (
            "adam",
            r"x_{k+1} = x_k - \eta\,\frac{\mu_{k+1}/c_{1,k}}{\sqrt{\nu_{k+1}/c_{2,k}} + \epsilon}"
            r" - \eta\lambda\,x_k",
            r"\beta_1 = 0.9,\quad \beta_2 = 0.999,\quad \epsilon = 10^{-8},\quad \lambda = 0.01",
        ),
        (
            "adam-plain",
            r"x_{k+1} = x_k - \eta\,\frac{\mu_{k+1}}{\sqrt{\nu_{k+1}} + \epsilon}",
            r"\beta_1 = 0.9",
        ),
        (
            "optax",
            r"(x_{k+1},\,\mu_{k+1},\,\nu_{k+1}) = \operatorname{update}(k,\,x_{k},\,\mu_{k},\,\nu_{k},\,g_k)",
            r"\eta = 0.1",
        ),
    ],
)
def test_the_update_map_with_its_numbers(name, update, numbers):
    *lines, last = OPTIMIZERS[name].latex()
    assert update in lines and numbers in last


def test_bias_corrections_name_the_step_they_have_seen():
    assert r"c_k = 1 - \beta^{k}" in OPTIMIZERS["rmsprop-l2"].latex()
    assert r"c_{1,k} = 1 - \beta_1^{k+1},\quad c_{2,k} = 1 - \beta_2^{k+1}" in OPTIMIZERS["adam"].latex()
    papers = Adam(0.1, denominator=Denominator.PREVIOUS).latex()
    assert r"c_{1,k} = 1 - \beta_1^{k+1},\quad c_{2,k} = 1 - \beta_2^{k}" in papers
    assert not any("c_" in latex for latex in OPTIMIZERS["adam-plain"].latex())


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "rmsprop-l2", "adam", "adam-plain"])
def test_the_update_map_is_what_the_optimizer_does(name):
    """The lines, evaluated as Python, give the optimizer's own step."""
    optimizer, step, gradient = OPTIMIZERS[name], 3.0, np.array([0.7, -0.4])
    x, mu, nu = np.array([1.5, -1.0]), np.array([0.2, 0.1]), np.array([1.0, 0.5])
    state = optimizer.unpack(jnp.stack([{"params": x, "mu": mu, "nu": nu}[slot] for slot in optimizer.slots]))
    after = optimizer.update(step, state, jnp.asarray(gradient))
    names = {"x_k": x, "mu_k": mu, "nu_k": nu, "g_k": gradient, "k": step, "sqrt": np.sqrt}
    *lines, numbers = optimizer.latex()
    for assignment in [part for latex in (numbers, *_in_order(lines)) for part in latex.split(r",\quad ")]:
        target, expression = assignment.split(" = ")
        names[_python(target)] = eval(_python(expression), names)  # noqa: S307
    for slot, symbol in (("params", "x"), ("mu", "mu"), ("nu", "nu")):
        if slot in optimizer.slots:
            np.testing.assert_allclose(getattr(after, slot), names[f"{symbol}_next"], rtol=1e-12)


def _in_order(lines):
    """Corrections before the step they enter."""
    return sorted(lines, key=lambda latex: latex.startswith("x_") * 2 + ("hat" not in latex.split("=")[0]))


def _python(latex: str) -> str:
    text = latex.replace(r"\hat{g}_k", "ghat").replace("_{k+1}", "_next").replace("_{k}", "_k")
    text = text.replace("_{1,k}", "1").replace("_{2,k}", "2").replace(r"\,", "*").replace("c_k", "c")
    text = re.sub(r"10\^\{(-\d+)\}", r"1e\1", text)
    text = re.sub(r"\\(beta(?:_\d)?)\^\{(.*?)\}", r"\1**(\2)", text)
    text = text.replace("^2", "**2").replace(r"\eta\lambda", "eta*lambda_").replace(r"\lambda ", "lambda_*")
    text = text.replace(r"\lambda", "lambda_").replace(r"\sqrt{", "sqrt{")
    text = re.sub(r"\\frac\{(.*?)\}\{(.*)\}", r"(\1)/(\2)", text)
    return text.replace("{", "(").replace("}", ")").replace("\\", "").strip()


def test_first_order_coefficients():
    finite = equation(OPTIMIZERS["rmsprop"], weak_order=1)
    assert line(finite, "Drift") == r"b = \frac{m}{h}"
    assert line(finite, "Covariance") == r"a = \frac{C}{h}"
    assert line(finite, "Claim").endswith("= O(h)") and line(finite, "Generator") == ""
    taylor = equation(OPTIMIZERS["rmsprop"], weak_order=1, method=Method.TAYLOR)
    assert line(taylor, "Drift") == "b = b_0 = m_1"
    assert line(taylor, "Covariance") == r"a = a_0 + h\,a_1,\quad a_0 = 0,\quad a_1 = C_2"
    batch = equation(OPTIMIZERS["rmsprop"], Regime.BATCH_EQUIVALENT, weak_order=1, method=Method.TAYLOR)
    assert line(batch, "Covariance") == "a = a_0 = C_1"


@pytest.mark.parametrize(("name", "applied"), [("rmsprop", r"L\,{}"), ("adam", r"(\partial_k + L)\,{}")])
def test_second_order_coefficients(name, applied):
    """d_k stands there only where a step depends on its number."""
    found = equation(OPTIMIZERS[name])
    half = r"\tfrac{1}{2}\,"
    assert line(found, "Drift") == rf"b = \frac{{m - {half}{applied.format('m')}}}{{h}}"
    assert line(found, "Covariance") == (
        rf"a = \frac{{C - {half}(J C + C J^{{\top}}) - {half}{applied.format('C')}}}{{h}}"
    )
    assert line(found, "Generator").startswith(r"L = m\cdot\nabla + \tfrac{1}{2}\,M:\nabla\nabla,")
    assert line(found, "Claim").endswith("= O(h^2)")


def test_second_order_taylor_coefficients_of_both_regimes():
    ballistic = equation(OPTIMIZERS["adam"], method=Method.TAYLOR)
    assert line(ballistic, "Generator") == r"L = m_1\cdot\nabla"
    assert line(ballistic, "Drift").endswith(r"b_1 = m_2 - \tfrac{1}{2}\,(\partial_t + L)\,m_1")
    batch = equation(OPTIMIZERS["adam-plain"], Regime.BATCH_EQUIVALENT, method=Method.TAYLOR)
    assert line(batch, "Generator").startswith(r"L = m_1\cdot\nabla + \tfrac{1}{2}\,C_1:\nabla\nabla")
    assert r"a_1 = C_2 - \tfrac{1}{2}\,(J_1 C_1 + C_1 J_1^{\top}) - \tfrac{1}{2}\,L\,C_1" in line(
        batch, "Covariance"
    )


def test_what_was_left_out_is_left_out():
    short = equation(OPTIMIZERS["sgd"], full=False)
    assert line(short, "Drift") == r"b = \frac{m - \tfrac{1}{2}\,(m\cdot\nabla)\,m}{h}"
    ode = equation(OPTIMIZERS["sgd"], stochastic=False)
    assert line(ode, "Equation") == r"dZ_t = b(Z_t)\,dt" and line(ode, "Covariance") == ""
    assert "drift only" in title(ode)


def test_clock_state_and_noise_of_the_regimes():
    ballistic = equation(OPTIMIZERS["rmsprop"])
    assert line(ballistic, "Clock") == r"t = k\,h,\quad h = \eta = 0.25"
    assert line(ballistic, "State") == r"z = (x,\,\nu)"
    assert r"\sqrt{h}\,\sigma(Z_t)\,dW_t,\quad h\,\sigma\sigma^{\top} = a" in line(ballistic, "Equation")
    assert line(ballistic, "Ladder").endswith(r"\eta \to s\,\eta,\quad 1-\beta \to s\,(1-\beta)")
    batch = equation(OPTIMIZERS["adam"], Regime.BATCH_EQUIVALENT)
    assert line(batch, "Clock") == r"t = k\,h,\quad h = \eta^2 = 0.01"
    assert line(batch, "State") == r"z = (x,\,\mu,\,h\,\nu)"
    assert r"+ \sigma(t, Z_t)\,dW_t,\quad \sigma\sigma^{\top} = a" in line(batch, "Equation")
    for moved in (r"\eta \to \sqrt{s}\,\eta", r"\epsilon \to \epsilon/\sqrt{s}", r"\Sigma \to \Sigma/s"):
        assert moved in line(batch, "Ladder")
    assert line(equation(OPTIMIZERS["sgd"], Regime.BATCH_EQUIVALENT), "Clock").endswith(r"h = \eta = 0.1")
    logarithmic = equation(OPTIMIZERS["rmsprop"], Regime.BATCH_EQUIVALENT, log=True)
    assert line(logarithmic, "State") == r"z = (x,\,\log(h\,\nu))"


def test_the_gradient_law():
    assert line(equation(SGD(0.1)), "Gradient").endswith(r"\zeta_k \sim \mathcal{N}(0,\,\Sigma)")
    moving = GaussianNoise(lambda params: 0.1 + params**2)
    assert line(equation(SGD(0.1), noise=moving), "Gradient").endswith(r"\mathcal{N}(0,\,\Sigma(x_k))")
    data = (jnp.arange(12.0).reshape(6, 2), jnp.arange(6.0))
    finite = FiniteSum(lambda params, example: 0.5 * (example[0] @ params - example[1]) ** 2, data, 2)
    law = equation(SGD(0.1), noise=MinibatchNoise(3, replacement=False), objective=finite)
    assert r"B = 3\ \text{drawn without replacement}" in line(law, "Gradient")
    assert latex_to_text(line(law, "Gradient")).startswith("gₖ = 1/B sum[i in batch k] ∇fᵢ(xₖ)")


def test_the_obstruction_is_told_with_its_place_and_its_meaning():
    ballistic = obstructed(equation(OPTIMIZERS["rmsprop"]), -0.0176, 9e-4)
    latex = line(ballistic, "Obstruction")
    assert (
        r"T_3 = " in latex and r"\frac{\partial^3}{\partial x[0]\,\partial \nu[0]\,\partial \nu[0]}" in latex
    )
    assert "does not limit order 2" in obstruction_sentence(ballistic)
    assert "third-order T₃ = -0.0176 h² and fourth-order T₄ = 0.0009 h²" in obstruction_sentence(ballistic)
    batch = obstructed(equation(OPTIMIZERS["rmsprop"], Regime.BATCH_EQUIVALENT), 6e-5, 0.0)
    assert "fourth" not in obstruction_sentence(batch) and "T_4" not in line(batch, "Obstruction")
    assert line(batch, "Claim").endswith(r"\text{unless obstructed}")
    assert "only for observables that do not see it" in obstruction_sentence(batch)
    linear = obstructed(equation(SGD(0.1), Regime.BATCH_EQUIVALENT), 0.0, 1e-12)
    assert "order 2 exists here" in obstruction_sentence(linear)
    assert line(linear, "Obstruction") == "" and "unless" not in line(linear, "Claim")
    assert obstruction_sentence(equation(SGD(0.1))) is None


def test_the_text_is_readable():
    text = as_text(obstructed(equation(OPTIMIZERS["rmsprop"]), -0.0176, 9e-4))
    for said in (
        "RMSprop, ballistic regime: weak order 2, finite-step",
        "  Update      νₖ₊₁ = β νₖ + (1-β) gₖ²",
        "              xₖ₊₁ = xₖ - η gₖ/(√νₖ₊₁ + ε)",
        "  Equation    dZₜ = b(Zₜ) dt + √h σ(Zₜ) dWₜ,   h σσᵀ = a",
        "  Covariance  a = (C - ½ (J C + C Jᵀ) - ½ L C)/h",
        "at ∂³/(∂x[0] ∂ν[0] ∂ν[0])",
        "  source      first two moments of one step",
    ):
        assert said in text, said
    assert max(len(row) for row in text.splitlines()) <= 110


def test_the_record_is_complete():
    found = equation(OPTIMIZERS["rmsprop"])
    assert dict(record_rows(found)) == {name: str(v) for name, v in found.record._asdict().items()}

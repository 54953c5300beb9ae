"""The equation of a limit in words and in LaTeX."""

from __future__ import annotations

from typing import NamedTuple

from driftax.limits._value import Exponents, Limit, Motion, Row, equal
from driftax.optimizer import Denominator


class _Words(NamedTuple):
    """The same symbols in one of the two notations."""

    dx: str
    dt: str
    mu: str
    root: str  # of the covariance
    variances: str  # its diagonal
    wiener: str


_TEXT = _Words("dx", "dt", "mu", "Sigma^(1/2)", "Sigma_d", "dW")
_LATEX = _Words(r"\mathrm{d}x", r"\,\mathrm{d}t", r"\mu", r"\Sigma^{1/2}", r"\Sigma_d", r"\,\mathrm{d}W")


def equation_lines(limit: Limit, exponents: Exponents) -> list[str]:
    """The limit, one equation per line: f is the gradient, Sigma the covariance of one stochastic gradient in
    units of tau^(-2s), Sigma_d its diagonal, D the reciprocal of the denominator.
    """
    lines = [_params(limit, _TEXT)]
    lines += _mu_text(limit, exponents)
    if limit.row.eps_dominates:
        return [*lines, "D = 1/eps"]
    if limit.nu is Motion.RANDOM:
        return [*lines, *_random_text(limit, exponents)]
    lines.append("D = 1/(sqrt(nu) + eps)" if limit.eps_enters else "D = 1/sqrt(nu)")
    target = _target(exponents, _TEXT)
    hat = ", divided by 1 - exp(-c t) inside D" if exponents.bias_correction else ""
    nu = {
        Motion.DYNAMIC: f"dnu = c ({target.strip('()')} - nu) dt{hat}",
        Motion.SLAVED: f"nu = {target.strip('()')}",
        Motion.FROZEN: "nu = nu(0)",
        Motion.RUNNING_MEAN: f"nu = (1/t) int_0^t {target} ds",
    }
    return [*lines, nu[limit.nu]]


def equation_latex(limit: Limit, exponents: Exponents) -> list[str]:
    """The limit, one line of LaTeX per equation."""
    lines = [_params(limit, _LATEX)]
    lines += _mu_latex(limit, exponents)
    if limit.row.eps_dominates:
        return [*lines, r"D = 1/\epsilon"]
    if limit.nu is Motion.RANDOM:
        return [*lines, *_random_latex(limit, exponents)]
    lines.append(r"D = 1/(\sqrt{\nu} + \epsilon)" if limit.eps_enters else r"D = 1/\sqrt{\nu}")
    target = _target(exponents, _LATEX)
    hat = r",\quad \nu \to \nu/(1 - e^{-ct}) \text{ inside } D" if exponents.bias_correction else ""
    nu = {
        Motion.DYNAMIC: rf"\mathrm{{d}}\nu = c\,({target.strip('()')} - \nu)\,\mathrm{{d}}t{hat}",
        Motion.SLAVED: rf"\nu = {target.strip('()')}",
        Motion.FROZEN: r"\nu = \nu(0)",
        Motion.RUNNING_MEAN: rf"\nu = \frac{{1}}{{t}} \int_0^t {target}\,\mathrm{{d}}s",
    }
    return [*lines, nu[limit.nu]]


def _target(exponents: Exponents, words: _Words) -> str:
    """The limit of E g^2 in units of max(1, noise^2)."""
    if equal(exponents.noise, 0.0):
        return f"(f^2 + {words.variances})"
    return words.variances if exponents.noise > 0 else "f^2"


def _factors(limit: Limit) -> tuple[str, str]:
    """What multiplies the gradient and the root of the covariance."""
    if limit.nu is not Motion.RANDOM or limit.row.eps_dominates:
        return "D", "D"
    if limit.mu in (None, Motion.RANDOM):
        return "A", "B"
    return "A", "A"


def _params(limit: Limit, words: _Words) -> str:
    gain, noise_gain = _factors(limit)
    if limit.mu in (Motion.DYNAMIC, Motion.RUNNING_MEAN, Motion.FROZEN):
        return f"{words.dx} = -{gain} {words.mu} {words.dt}"
    terms = []
    if limit.has_drift:
        step = f"{gain} f"
        if gain == "A" and limit.row is Row.BALLISTIC and limit.mu is not Motion.SLAVED:
            step = "A(f)"
        terms.append(f"-{step} {words.dt}")
    if limit.has_noise:
        noise = "B" if noise_gain == "B" else f"{noise_gain} {words.root}"
        terms.append(f"{noise} {words.wiener}")
    return f"{words.dx} = " + " + ".join(terms)


def _mu_text(limit: Limit, exponents: Exponents) -> list[str]:
    if limit.mu is Motion.FROZEN:
        return ["mu = mu(0)"]
    if limit.mu is Motion.DYNAMIC:
        hat = ", divided by 1 - exp(-c1 t) in dx" if exponents.bias_correction else ""
        noise = " + c1 Sigma^(1/2) dW" if limit.has_noise else ""
        if not limit.has_drift:  # the noise, not the gradient, sets the size of mu
            units = f" (mu in units of tau^{-limit.drift_exponent:g})"
            return [f"dmu = -c1 mu dt{noise}{hat}{units}"]
        return [f"dmu = c1 (f - mu) dt{noise}{hat}"]
    if limit.mu is Motion.RUNNING_MEAN:
        terms = ["int_0^t f ds"] if limit.has_drift else []
        terms += ["Sigma^(1/2) W(t)"] if limit.has_noise else []
        return [f"mu = (1/t) {terms[0]}" if len(terms) == 1 else f"mu = (1/t) ({' + '.join(terms)})"]
    return []


def _mu_latex(limit: Limit, exponents: Exponents) -> list[str]:
    if limit.mu is Motion.FROZEN:
        return [r"\mu = \mu(0)"]
    if limit.mu is Motion.DYNAMIC:
        drift = r"c_1 (f - \mu)" if limit.has_drift else r"-c_1 \mu"
        noise = r" + c_1 \Sigma^{1/2}\,\mathrm{d}W" if limit.has_noise else ""
        hat = (
            r",\quad \mu \to \mu/(1 - e^{-c_1 t}) \text{ in } \mathrm{d}x"
            if exponents.bias_correction
            else ""
        )
        return [rf"\mathrm{{d}}\mu = {drift}\,\mathrm{{d}}t{noise}{hat}"]
    if limit.mu is Motion.RUNNING_MEAN:
        terms = [r"\int_0^t f\,\mathrm{d}s"] if limit.has_drift else []
        terms += [r"\Sigma^{1/2} W_t"] if limit.has_noise else []
        mean = terms[0] if len(terms) == 1 else rf"\left({' + '.join(terms)}\right)"
        return [rf"\mu = \frac{{1}}{{t}} {mean}"]
    return []


def _random_text(limit: Limit, exponents: Exponents) -> list[str]:
    """What the averages over the stationary law of a fixed memory are."""
    updated = exponents.denominator is Denominator.UPDATED
    eps = " + eps" if limit.eps_enters else ""
    which = "nu'" if updated else "nu"
    law = "nu' = (1 - b) nu + b g^2 stationary at the current params"
    if limit.mu not in (None, Motion.RANDOM):
        return [f"A = E[1/(sqrt(nu){eps})]" if eps else "A = E[1/sqrt(nu)]", law]
    below = f"(sqrt({which}){eps})" if eps else f"sqrt({which})"
    step = f"{'mu' if limit.mu else 'g'}/{below}"
    lines = [f"A(f) = E[{step}]" if limit.row is Row.BALLISTIC else f"A = d/df E[{step}] at f = 0"]
    if limit.has_noise:
        square = "E[u u^T]" if limit.mu is None else "sum over lags k of Cov(u_0, u_k)"
        lines.append(f"B B^T = {square}, u = {step} at f = 0")
    return [*lines, law]


def _random_latex(limit: Limit, exponents: Exponents) -> list[str]:
    updated = exponents.denominator is Denominator.UPDATED
    eps = r" + \epsilon" if limit.eps_enters else ""
    which = r"\nu'" if updated else r"\nu"
    law = r"\nu' = (1 - b)\,\nu + b\,g^2 \text{ stationary at the current } x"
    if limit.mu not in (None, Motion.RANDOM):
        return [rf"A = E\left[1/(\sqrt{{\nu}}{eps})\right]", law]
    top = r"\mu" if limit.mu else "g"
    step = rf"\frac{{{top}}}{{\sqrt{{{which}}}{eps}}}"
    whole = rf"E\left[{step}\right]"
    lines = [f"A(f) = {whole}" if limit.row is Row.BALLISTIC else rf"A = \partial_f {whole}_{{f=0}}"]
    if limit.has_noise:
        square = rf"E\left[u u^T\right],\quad u = {step}"
        if limit.mu is not None:
            square = rf"\sum_{{k=-\infty}}^{{\infty}} \mathrm{{Cov}}(u_0, u_k),\quad u = {step}"
        lines.append(rf"B B^T = {square}\ (f=0)")
    return [*lines, law]

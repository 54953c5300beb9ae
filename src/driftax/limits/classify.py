"""From scaling exponents to the limit."""

from __future__ import annotations

from driftax.limits._value import Exponents, Limit, Motion, Row, above, equal
from driftax.limits.describe import equation_latex, equation_lines

_SOURCES = {
    Row.BALLISTIC: "callisti2025",
    Row.BATCH_EQUIVALENT: "malladi2022",
    Row.VANISHING_NOISE: "bernstein2018",
}


def classify(exponents: Exponents) -> Limit:
    """The limiting dynamics on the clock on which params first move.

    Per step the drift is tau^(p+a) and the variance of the noise tau^(2(p-s+a)), where tau^-a is the size of
    the denominator sqrt(nu) + eps; the faster of the two decides the clock r. A memory of rate tau^q is then
    shorter than, as long as, or longer than the time in which params move.

    Source: malladi2022 (s = p, q = r), callisti2025 (s = 0 and s = p, q = r), bernstein2018 (sign of the gradient);
    the other regions re-derived.
    """
    p, s = exponents.learning_rate, exponents.noise
    scale = denominator_exponent(exponents)
    drift, noise = p + scale, 2 * (p - s + scale)
    r = min(drift, noise)
    row = _row(exponents)
    nu = _motion(exponents.second_moment, r, exponents.bias_correction)
    if row is Row.VANISHING_NOISE and nu is Motion.RANDOM:
        nu = Motion.SLAVED  # without noise an average over finitely many steps is the last gradient squared
    mu = None if exponents.momentum is None else _motion(exponents.momentum, r, exponents.bias_correction)
    if mu is Motion.RANDOM and (nu is not Motion.RANDOM or row.eps_dominates):
        mu = Motion.SLAVED  # a fixed momentum matters only where the denominator fluctuates with it
    trivial = mu is Motion.FROZEN
    eps_enters = exponents.eps is not None and equal(exponents.eps, scale)
    limit = Limit(
        name=_name(row, mu, nu, eps_enters),
        row=row,
        params=Motion.TRIVIAL if trivial else Motion.DYNAMIC,
        mu=mu,
        nu=nu,
        equation="",
        latex=(),
        time_exponent=r,
        clock=f"t = steps * tau^{r:g}",
        scale_exponent=scale,
        drift_exponent=drift - r,
        noise_exponent=noise - r,
        eps_enters=eps_enters,
        trivial=trivial,
        note=_trivial_note(exponents, scale) if trivial else "",
        source=_source(row, nu),
    )
    if not trivial:
        limit = limit._replace(note=_condition(limit, exponents.bias_correction))
    lines = equation_lines(limit, exponents)
    return limit._replace(equation="; ".join(lines), latex=tuple(equation_latex(limit, exponents)))


def denominator_exponent(exponents: Exponents) -> float:
    """The exponent a of the denominator sqrt(nu) + eps ~ tau^-a."""
    eps = exponents.eps if exponents.eps is not None else 0.0
    return max(0.0, exponents.noise, eps)


def _row(exponents: Exponents) -> Row:
    p, s, e = exponents.learning_rate, exponents.noise, exponents.eps
    if e is not None and above(e, max(0.0, s)):
        if equal(p + e, 2 * s):
            return Row.EPS_SDE
        return Row.EPS_ODE if p + e > 2 * s else Row.EPS_NOISE
    if equal(s, 0.0):
        return Row.BALLISTIC
    if s < 0:
        return Row.VANISHING_NOISE
    if equal(s, p):
        return Row.BATCH_EQUIVALENT
    return Row.NOISE_NORMALISED if s < p else Row.NOISE_DOMINATED


def _motion(memory: float, r: float, bias_correction: bool) -> Motion:
    """What a moving average of rate tau^memory does on the clock tau^r."""
    if equal(memory, 0.0):
        return Motion.RANDOM
    if equal(memory, r):
        return Motion.DYNAMIC
    if memory < r:
        return Motion.SLAVED
    return Motion.RUNNING_MEAN if bias_correction else Motion.FROZEN


def _name(row: Row, mu: Motion | None, nu: Motion, eps_enters: bool) -> str:
    if row is Row.VANISHING_NOISE and nu is Motion.SLAVED and mu in (None, Motion.SLAVED):
        name = "sign-gradient flow"
    elif row.eps_dominates:
        name = row.value  # whatever the second moment does
    else:
        name = f"{row.value}, " + ("fixed beta_2" if nu is Motion.RANDOM else f"second moment {nu.value}")
    if eps_enters and not row.eps_dominates:
        name += ", eps beside the root"
    if mu is None:
        return name
    if mu is Motion.DYNAMIC:
        return f"{name}, kinetic"
    if mu is Motion.FROZEN:
        return f"trivial ({name}, momentum frozen)"
    return f"{name}, " + ("fixed beta_1" if mu is Motion.RANDOM else f"momentum {mu.value}")


def _condition(limit: Limit, bias_correction: bool) -> str:
    """What a limit needs besides its exponents."""
    if limit.row.eps_dominates or limit.eps_enters:
        return ""
    if limit.row is Row.VANISHING_NOISE and limit.nu is Motion.SLAVED:
        return "until a coordinate of the gradient first vanishes: D is infinite there"
    if bias_correction:
        return ""
    if limit.nu is Motion.FROZEN:
        return "for nu(0) > 0: from nu(0) = 0 without bias correction params move on another clock"
    if limit.nu is Motion.DYNAMIC and limit.has_noise and limit.mu is not Motion.DYNAMIC:
        return "for nu(0) > 0: from nu(0) = 0 without bias correction E x^2 grows like log(1/tau)"
    return ""


def _trivial_note(exponents: Exponents, scale: float) -> str:
    """Where a frozen momentum does move params: later, and then without friction."""
    later = (exponents.learning_rate + scale + (exponents.momentum or 0.0)) / 2
    words = "params move with the velocity the momentum starts with, and not at all from 0"
    if above(later, 2 * exponents.noise):
        words += f"; on the clock tau^{later:g} they follow x'' = -c1 D f, without friction"
    return words


def _source(row: Row, nu: Motion) -> str:
    known = _SOURCES.get(row, "re-derived")
    published = Motion.SLAVED if row is Row.VANISHING_NOISE else Motion.DYNAMIC
    return known if nu is published else "re-derived"

"""The published coefficients, written out term by term: the reference the compiler is held against.

Sections are those of the derivation the project started from (sections 2 and 3: ballistic and batch-equivalent).
Nothing here knows the compiler: only the loss, the covariance and their derivatives, in dense numpy.

Conventions: `f, H` gradient and Hessian of the loss; `S` covariance of one stochastic gradient; `D` the inverse
denominator, `Dp` its derivative in the second moment; tau the time step; vectors are multiplied elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from driftax import Regime
from driftax.optimizer import Denominator


@dataclass
class Local:
    """Loss and covariance with the derivatives the formulas use, at one point."""

    x: np.ndarray
    f: np.ndarray
    H: np.ndarray
    T: np.ndarray  # third derivatives of the loss
    S: np.ndarray
    dS: np.ndarray  # dS[i, j, l] = d_l S_ij
    ddS: np.ndarray
    third: np.ndarray  # E z_i z_j z_k
    fourth: np.ndarray  # Cov(z_i^2, z_j^2)

    @property
    def Sd(self):
        return np.diag(self.S)

    @property
    def dSd(self):
        return np.einsum("iil->il", self.dS)

    @property
    def ddSd(self):
        return np.einsum("iilm->ilm", self.ddS)


def local(loss, covariance, x, third=None) -> Local:
    """Derivatives by automatic differentiation of the loss and of the covariance [dim, dim]; Gaussian noise."""
    n = len(x)

    @jax.jit
    def derivatives(at):
        hessian, slope = jax.hessian(loss), jax.jacfwd(covariance)
        first = (jax.grad(loss)(at), hessian(at), jax.jacfwd(hessian)(at))
        return at, *first, covariance(at), slope(at), jax.jacfwd(slope)(at)

    values = [np.asarray(value) for value in derivatives(x)]
    skew = np.zeros((n, n, n)) if third is None else third
    return Local(*values, skew, 2 * values[4] * values[4])


def inverse_denominator(v, eps):
    """D and its derivative: not -D^3/2, which holds for eps = 0 only."""
    D = 1 / (np.sqrt(v) + eps)
    return D, -0.5 * D**2 / np.sqrt(v)


def blocks(rows):
    return np.block([[np.asarray(b) for b in row] for row in rows])


# ------------------------------------------------------------------ section 2: ballistic


def ballistic_sgd(p: Local, lam):
    """Section 2.1."""
    u = -(p.f + lam * p.x)
    return u, -0.5 * (p.H + lam * np.eye(len(u))) @ (p.f + lam * p.x), p.S


def ballistic_rmsprop(p: Local, v, c, eps, lam, denominator):
    """Section 2.2, with the third and fourth moments of a law that need not be Gaussian."""
    D, Dp = inverse_denominator(v, eps)
    u = -p.f * D - lam * p.x
    q = c * (p.f**2 + p.Sd - v)
    b1x = 0.5 * lam * u + 0.5 * D * (p.H @ u) + 0.5 * p.f * Dp * q
    if denominator is Denominator.UPDATED:
        b1x = b1x - c * Dp * (p.f * (p.f**2 + 3 * p.Sd - v) + np.einsum("iii->i", p.third))
    b1v = -c * p.f * (p.H @ u) - 0.5 * c * p.dSd @ u + 0.5 * c * q
    xx = D[:, None] * p.S * D[None, :]
    xv = -D[:, None] * c * gradient_and_square(p)
    return np.r_[u, q], np.r_[b1x, b1v], blocks([[xx, xv], [xv.T, c**2 * squares(p)]])


def gradient_and_square(p: Local):
    """Cov(g_i, g_j^2)."""
    return 2 * p.S * p.f[None, :] + np.einsum("ijj->ij", p.third)


def squares(p: Local):
    """Cov(g_i^2, g_j^2)."""
    skew = np.einsum("ijj->ij", p.third)  # E z_i z_j^2
    return (
        4 * p.f[:, None] * p.f[None, :] * p.S + 2 * p.f[:, None] * skew + 2 * p.f[None, :] * skew.T + p.fourth
    )


@dataclass
class Corrections:
    """Gamma = sqrt(gamma2)/gamma1 and sqrt(gamma2), with their derivatives in t."""

    gamma: float
    root: float
    dgamma: float
    droot: float


def corrections(tau, k, c1, c2, denominator, enabled):
    """Bias corrections after k steps: gamma_i = 1 - exp(-s_i (t + tau)), s_i = -log(1 - c_i tau)/tau."""
    if not enabled:
        return Corrections(1.0, 1.0, 0.0, 0.0)
    s1, s2 = -np.log(1 - c1 * tau) / tau, -np.log(1 - c2 * tau) / tau
    t = k * tau
    t2 = t + tau if denominator is Denominator.UPDATED else t
    g1, g2 = 1 - np.exp(-s1 * (t + tau)), 1 - np.exp(-s2 * t2)
    dg1, dg2 = s1 * np.exp(-s1 * (t + tau)), s2 * np.exp(-s2 * t2)
    droot = dg2 / (2 * np.sqrt(g2))
    return Corrections(np.sqrt(g2) / g1, np.sqrt(g2), droot / g1 - np.sqrt(g2) * dg1 / g1**2, droot)


def adam_x(p: Local, m, v, c1, q, eps, lam, denominator, bias: Corrections):
    """u, b1x, p and the factor Gamma D of Adam, common to both regimes."""
    D, Dp = inverse_denominator(v, eps * bias.root)
    sign = 1.0 if denominator is Denominator.PREVIOUS else -1.0
    u = -bias.gamma * m * D - lam * p.x
    pm = c1 * (p.f - m)
    dGD = bias.dgamma * D - bias.gamma * D**2 * eps * bias.droot
    b1x = 0.5 * lam * u - 0.5 * bias.gamma * D * pm + sign * 0.5 * bias.gamma * m * Dp * q + 0.5 * m * dGD
    return u, b1x, pm, bias.gamma * D


def ballistic_adam(p: Local, m, v, c1, c2, eps, lam, denominator, bias: Corrections):
    """Section 2.3."""
    q = c2 * (p.f**2 + p.Sd - v)
    u, b1x, pm, _ = adam_x(p, m, v, c1, q, eps, lam, denominator, bias)
    b1m = -0.5 * c1 * p.H @ u + 0.5 * c1 * pm
    b1v = -c2 * p.f * (p.H @ u) - 0.5 * c2 * p.dSd @ u + 0.5 * c2 * q
    zero = np.zeros_like(p.S)
    mv = c1 * c2 * gradient_and_square(p)
    a1 = blocks([[zero, zero, zero], [zero, c1**2 * p.S, mv], [zero, mv.T, c2**2 * squares(p)]])
    return np.r_[u, pm, q], np.r_[b1x, b1m, b1v], a1


# ------------------------------------------------------------------ section 3: batch-equivalent


def second_order_part(p: Local, u, K):
    """`u . grad S + 1/2 K : grad grad S`, entrywise."""
    return p.dS @ u + 0.5 * np.einsum("ijlm,lm->ij", p.ddS, K)


def batch_sgd(p: Local, lam):
    """The general principle of section 3 for x' = x - tau (f + lam x + z/sqrt(tau)); tau = learning rate."""
    n = len(p.x)
    u = -(p.f + lam * p.x)
    J = p.H + lam * np.eye(n)
    b1 = -0.5 * (J @ (p.f + lam * p.x)) + 0.25 * np.einsum("ilm,lm->i", p.T, p.S)
    a1 = 0.5 * (J @ p.S + p.S @ J) - 0.5 * second_order_part(p, u, p.S)
    return u, b1, p.S, a1


def batch_rmsprop(p: Local, v, c, eps, lam, denominator):
    """Section 3.1 (Gaussian noise)."""
    D, Dp = inverse_denominator(v, eps)
    K = D[:, None] * p.S * D[None, :]
    u = -p.f * D - lam * p.x
    q = c * (p.Sd - v)
    b1x = 0.5 * lam * u + 0.5 * D * (p.H @ u) + 0.5 * p.f * Dp * q + 0.25 * D * np.einsum("ilm,lm->i", p.T, K)
    w = -0.5 * Dp * q
    if denominator is Denominator.UPDATED:
        b1x = b1x - c * Dp * p.f * (3 * p.Sd - v)
        w = w + c * Dp * (3 * p.Sd - v)
    b1v = c * p.f**2 + 0.5 * c * q - 0.5 * c * p.dSd @ u - 0.25 * c * np.einsum("ilm,lm->i", p.ddSd, K)
    X = 0.5 * np.diag(D) @ p.H @ K + np.diag(w / D) @ K + 0.5 * lam * K
    xx = X + X.T - 0.5 * D[:, None] * second_order_part(p, u, K) * D[None, :]
    xv = -2 * c * D[:, None] * p.S * p.f[None, :] - 0.5 * c * K @ p.dSd.T
    zero = np.zeros_like(K)
    a0 = blocks([[K, zero], [zero, zero]])
    a1 = blocks([[xx, xv], [xv.T, 2 * c**2 * p.S**2]])
    return np.r_[u, q], np.r_[b1x, b1v], a0, a1


def batch_adam(p: Local, m, v, c1, c2, eps, lam, denominator, bias: Corrections):
    """Section 3.2 (Gaussian noise)."""
    q = c2 * (p.Sd - v)
    u, b1x, pm, GD = adam_x(p, m, v, c1, q, eps, lam, denominator, bias)
    b1m = -0.5 * c1 * p.H @ u + 0.5 * c1 * pm
    b1v = c2 * p.f**2 + 0.5 * c2 * q - 0.5 * c2 * p.dSd @ u
    zero = np.zeros_like(p.S)
    xm = -0.5 * c1**2 * GD[:, None] * p.S
    mm = c1**3 * p.S - 0.5 * c1**2 * (p.dS @ u)
    mv = 2 * c1 * c2 * p.S * p.f[None, :]
    a0 = blocks([[zero, zero, zero], [zero, c1**2 * p.S, zero], [zero, zero, zero]])
    a1 = blocks([[zero, xm, zero], [xm.T, mm, mv], [zero, mv.T, 2 * c2**2 * p.S**2]])
    return np.r_[u, pm, q], np.r_[b1x, b1m, b1v], a0, a1


# ------------------------------------------------------------------ from real hyperparameters


@dataclass
class Coefficients:
    """`drift = b0 + h b1`, `covariance = a0 + h a1` per unit of t, with h the time step."""

    h: float
    b0: np.ndarray
    b1: np.ndarray
    a0: np.ndarray
    a1: np.ndarray

    def drift(self, order):
        return self.b0 + (self.h * self.b1 if order == 2 else 0.0)

    def covariance(self, order, regime):
        if regime is Regime.BALLISTIC:
            return self.h * self.a1
        return self.a0 + (self.h * self.a1 if order == 2 else 0.0)


def sgd(point: Local, lr, lam, regime) -> Coefficients:
    if regime is Regime.BALLISTIC:
        b0, b1, a1 = ballistic_sgd(point, lam)
        return Coefficients(lr, b0, b1, np.zeros_like(a1), a1)
    return Coefficients(lr, *batch_sgd(rescaled(point, lr), lam))


def rescaled(p: Local, h) -> Local:
    """The law of `sqrt(h)` times the noise."""
    return Local(p.x, p.f, p.H, p.T, h * p.S, h * p.dS, h * p.ddS, h**1.5 * p.third, h**2 * p.fourth)


def rmsprop(point: Local, v, lr, decay, eps, lam, denominator, regime) -> Coefficients:
    """`v` in the regime's own units."""
    if regime is Regime.BALLISTIC:
        b0, b1, a1 = ballistic_rmsprop(point, v, (1 - decay) / lr, eps, lam, denominator)
        return Coefficients(lr, b0, b1, np.zeros_like(a1), a1)
    h = lr**2
    scaled = batch_rmsprop(rescaled(point, h), v, (1 - decay) / h, lr * eps, lam / lr, denominator)
    return Coefficients(h, *scaled)


def adam(point: Local, m, v, k, lr, d1, d2, eps, lam, denominator, bias, regime) -> Coefficients:
    """`v` in the regime's own units; `k` steps taken before."""
    h = lr if regime is Regime.BALLISTIC else lr**2
    c1, c2 = (1 - d1) / h, (1 - d2) / h
    corrected = corrections(h, k, c1, c2, denominator, bias)
    if regime is Regime.BALLISTIC:
        b0, b1, a1 = ballistic_adam(point, m, v, c1, c2, eps, lam, denominator, corrected)
        return Coefficients(h, b0, b1, np.zeros_like(a1), a1)
    scaled = batch_adam(rescaled(point, h), m, v, c1, c2, lr * eps, lam / lr, denominator, corrected)
    return Coefficients(h, *scaled)


def signsgd(point: Local, lr, lam) -> Coefficients:
    """Section 1, ballistic, decoupled decay: `b0 = -erf(f/sqrt(2 S_ii)) - lam x`, arcsine-type covariance."""
    from scipy.special import erf
    from scipy.stats import multivariate_normal, norm

    n = len(point.x)
    sd = np.sqrt(point.Sd)
    a = point.f / sd
    mean = erf(a / np.sqrt(2))
    b0 = -mean - lam * point.x
    slope = np.sqrt(2 / np.pi) / sd * np.exp(-0.5 * a**2)  # of erf(f/sqrt(2) sd) in f
    # The standard deviation moves with x too: da = df/sd - f dsd/sd^2, dsd = dS_ii/(2 sd).
    jacobian = -slope[:, None] * (point.H - (point.f / (2 * sd**2))[:, None] * point.dSd) - lam * np.eye(n)
    b1 = -0.5 * jacobian @ b0
    covariance = np.diag(1 - mean**2)
    for i in range(n):
        for j in range(n):
            if i != j:
                rho = point.S[i, j] / (sd[i] * sd[j])
                both = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([a[i], a[j]])
                covariance[i, j] = 4 * both - 2 * norm.cdf(a[i]) - 2 * norm.cdf(a[j]) + 1 - mean[i] * mean[j]
    return Coefficients(lr, b0, b1, np.zeros((n, n)), covariance)

"""Results as the verbs write them, and a report's content made of them."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from driftax import Chain, GaussianNoise, Quadratic, RMSprop, derive
from driftax.compiler.obstruction import Obstruction
from driftax.equation.describe import as_latex_lines, obstruction_sentence, record_rows, title
from driftax.report import Certified, Curve, Difference, Equation, Judged, ReportContent

TIME_STEP = 0.04
LADDER = (1.0, 0.5, 0.25, 0.125)
EVIL = "<script>alert('x')</script>"


def simulate_json() -> dict:
    """What `simulate --json` prints, for two observables and three models."""
    step = np.arange(0, 49, 4)
    results = []
    for observable, start, stationary in (("params_sq", 3.25, 0.21), ("loss", 1.6, 0.055)):
        for model, shift in (("optimizer", 0.0), ("derived-1", 0.045), ("derived-2", 0.006)):
            decay = np.exp(-step / 14)
            mean = (start - stationary) * decay + stationary + shift * stationary * (1 - decay) * 4
            spread = 0.9 * np.sqrt(stationary * mean) * (1 - 0.9 * decay)
            results.append(
                {
                    "model": model,
                    "observable": observable,
                    "step": step.tolist(),
                    "mean": mean.tolist(),
                    "standard_error": (spread / 256).tolist(),
                    "members": 65536,
                    "failed": 0,
                }
            )
    return {"results": results}


def verify_json() -> dict:
    """What `verify --json` prints, for two observables and two models."""
    rows = [
        ("derived-1", 1, "params_sq", [8e-2, 4.1e-2, 1.84e-2, 9.34e-3], 3e-4, "consistent"),
        ("derived-2", 2, "params_sq", [1.8e-2, 4.4e-3, 1.09e-3, 2.74e-4], 2e-5, "consistent"),
        ("derived-1", 1, "loss", [-3.1e-2, -1.52e-2, -7.6e-3, -3.81e-3], 1.1e-4, "consistent"),
        ("derived-2", 2, "loss", [6.2e-3, 1.5e-3, 3.7e-4, 7e-5], 4e-5, "inconclusive"),
    ]
    results = []
    for model, claimed, observable, errors, noise, verdict in rows:
        local = [math.log2(a / b) for a, b in zip(errors[:-1], errors[1:], strict=True)]
        half = 1.96 * math.hypot(noise / errors[-1], noise / errors[-2]) / math.log(2)
        results.append(
            {
                "model": model,
                "claimed_order": claimed,
                "observable": observable,
                "rungs": [
                    {"ladder": s, "weak_error": e, "standard_error": noise, "failed": 0}
                    for s, e in zip(LADDER, errors, strict=True)
                ],
                "local_orders": local,
                "order": local[-1],
                "ci95": [local[-1] - half, local[-1] + half] if verdict == "consistent" else [1.02, None],
                "verdict": verdict,
                "reason": "noise: the local order lies between 0.61 and no bound; "
                "about 524,288 members on the two finest rungs would decide it"
                if verdict == "inconclusive"
                else "",
            }
        )
    return {"results": results, "seconds": 41.2, "provenance": {}}


def certificate_json(claimed: int) -> dict:
    """What `local-order --json` prints."""
    h = [TIME_STEP * 0.5**i for i in range(8)]
    monomials = []
    for i, name in enumerate(["params[0]", "nu[0]", "params[0] nu[0]", "params[0]^2", "nu[0]^2", "nu[0]^3"]):
        power = claimed + 1 + (i % 3 > 1)
        residuals = [(0.9 - 0.1 * i) * x**power * (1 + 3 * x) * 10 ** (-i / 2) for x in h]
        local = [math.log2(a / b) for a, b in zip(residuals[:-1], residuals[1:], strict=True)]
        monomials.append({"name": name, "residuals": residuals, "local_orders": local})
    monomials.append({"name": "params[0]^4", "residuals": [0.0] * 8, "local_orders": [None] * 7})
    return {
        "claimed_order": claimed,
        "time_steps": h,
        "monomials": monomials,
        "order": min(m["local_orders"][-1] for m in monomials[:-1]) - 1,
    }


def equation_of(model: str, weak_order: int) -> Equation:
    chain = Chain(
        Quadratic(jnp.array([[1.0, 0.5], [0.5, 1.0]])),
        GaussianNoise(jnp.array([0.3125, 0.25])),
        RMSprop(TIME_STEP, 0.96, 0.1),
    )
    equation = derive(chain, weak_order=weak_order, nodes=7)
    if weak_order == 2:
        found = Obstruction(
            0.0178, 4.2e-4, "d/dnu[0] d/dnu[0] d/dnu[0]", "d/dnu[0] d/dnu[0] d/dnu[0] d/dnu[0]"
        )
        equation = eqx.tree_at(lambda e: e.obstruction, equation, found, is_leaf=lambda leaf: leaf is None)
    return Equation(
        f"{model}: {title(equation)}",
        tuple(as_latex_lines(equation)),
        tuple(record_rows(equation)),
        obstruction_sentence(equation),
    )


def study_content() -> ReportContent:
    curves = tuple(Curve.from_json(result) for result in simulate_json()["results"])
    truth = {curve.observable: curve for curve in curves if curve.model == "optimizer"}
    return ReportContent(
        title="RMSprop on a correlated quadratic",
        headline="The order-2 equation follows RMSprop to 0.14 % in E |params|² at h = 0.005, with the error "
        "falling as h² as claimed; for the loss the order-2 error is too small to tell from noise.",
        setup=(
            ("optimizer", "RMSprop: learning_rate 0.04, decay 0.96, eps 0.1, updated denominator"),
            ("objective", "quadratic, 2 parameters, hessian [[1, 0.5], [0.5, 1]]"),
            ("gradient law", "Gaussian, covariance diag(0.3125, 0.25)"),
            ("regime", "ballistic: learning_rate s, 1 − decay → s (1 − decay)"),
            ("start", "params [1.5, −1], nu [1, 1]"),
            ("compared", "at t = 1.92 (48 steps at h = 0.04)"),
        ),
        equations=(equation_of("derived-1", 1), equation_of("derived-2", 2)),
        time_step=TIME_STEP,
        curves=curves,
        differences=tuple(
            Difference.between(curve, truth[curve.observable])
            for curve in curves
            if curve.model != "optimizer"
        ),
        judged=tuple(Judged.from_json(result, TIME_STEP) for result in verify_json()["results"]),
        certified=(
            Certified.from_json("derived-1", certificate_json(1)),
            Certified.from_json("derived-2", certificate_json(2)),
        ),
        caveats=(
            "Steps are independent draws: sampling by epochs (reshuffling) is another process.",
            "The certificate was taken at one state; it says nothing about others.",
            "Orders are judged by the two finest rungs of the ladder.",
        ),
        provenance=(
            ("seed", "0"),
            ("driftax", "0.1.0"),
            ("jax", "0.10.2"),
            ("command", "driftax verify rmsprop.toml --seed 0 --budget 5m"),
            ("seconds", "41.2"),
        ),
    )

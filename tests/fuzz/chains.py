"""Random optax chains: each gives finite order-1 coefficients or is refused in three parts.

python tests/fuzz/chains.py --count 1000 --seed 0
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
import traceback
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax

RATE = 0.1


def parts(s, rng: np.random.Generator) -> dict:
    """What a chain may be made of, at rung s."""
    slow, slower = 1 - RATE * s, 1 - 0.5 * RATE * s
    size = float(rng.uniform(0.2, 2.0))
    return {
        "clip": lambda: optax.clip(size),
        "clip_by_global_norm": lambda: optax.clip_by_global_norm(size),
        "clip_by_block_rms": lambda: optax.clip_by_block_rms(size),
        "adaptive_grad_clip": lambda: optax.adaptive_grad_clip(size),
        "add_decayed_weights": lambda: optax.add_decayed_weights(0.1),
        "add_noise": lambda: optax.add_noise(0.1, 0.5, key=0),
        "apply_every": lambda: optax.apply_every(2),
        "centralize": optax.centralize,
        "ema": lambda: optax.ema(slow),
        "identity": optax.identity,
        "keep_params_nonnegative": optax.keep_params_nonnegative,
        "normalize_by_update_norm": optax.normalize_by_update_norm,
        "scale": lambda: optax.scale(0.5),
        "scale_by_adam": lambda: optax.scale_by_adam(slow, slower, eps=0.1),
        "scale_by_amsgrad": lambda: optax.scale_by_amsgrad(slow, slower, eps=0.1),
        "scale_by_belief": lambda: optax.scale_by_belief(slow, slower, eps=0.1),
        "scale_by_distance_over_gradients": optax.scale_by_distance_over_gradients,
        "scale_by_lion": lambda: optax.scale_by_lion(0.5, slower),
        "scale_by_novograd": lambda: optax.scale_by_novograd(slow, slower, eps=0.1),
        "scale_by_param_block_norm": optax.scale_by_param_block_norm,
        "scale_by_radam": lambda: optax.scale_by_radam(slow, slower, eps=0.1),
        "scale_by_rms": lambda: optax.scale_by_rms(slower, eps=0.1),
        "scale_by_rprop": lambda: optax.scale_by_rprop(0.1),
        "scale_by_rss": lambda: optax.scale_by_rss(0.5),
        "scale_by_schedule": lambda: optax.scale_by_schedule(optax.cosine_decay_schedule(1.0, 40)),
        "scale_by_sign": optax.scale_by_sign,
        "scale_by_sm3": lambda: optax.scale_by_sm3(slow),
        "scale_by_stddev": lambda: optax.scale_by_stddev(slower, eps=0.1),
        "scale_by_trust_ratio": optax.scale_by_trust_ratio,
        "scale_by_yogi": lambda: optax.scale_by_yogi(slow, slower, eps=0.1),
        "set_to_zero": optax.set_to_zero,
        "stateless": lambda: optax.stateless_with_tree_map(lambda g, p: jnp.tanh(g)),
        "trace": lambda: optax.trace(0.5),
        "zero_nans": optax.zero_nans,
        "masked": lambda: optax.masked(optax.clip(size), True),
        "apply_if_finite": lambda: optax.apply_if_finite(optax.scale_by_rms(slower, eps=0.1), 3),
        "multi_steps": lambda: optax.MultiSteps(optax.sgd(0.5), 3).gradient_transformation(),
    }


def family(names: list[str], seed: int):
    """The chain of these parts, scaled by a learning rate, as a family of its rungs."""

    def at(s) -> optax.GradientTransformation:
        made = parts(s, np.random.default_rng(seed))
        return optax.chain(*(made[name]() for name in names), optax.scale_by_learning_rate(RATE * s))

    return at


def outcome(names: list[str], seed: int, dim: int) -> str:
    """Finite coefficients or a refusal; any other exception is let through."""
    from driftax import Chain, DriftaxError, GaussianNoise, Quadratic, derive, from_optax
    from driftax.compiler.step_moments import step_moments

    try:
        optimizer = from_optax(family(names, seed), learning_rate=RATE, name=" -> ".join(names))
        chain = Chain(Quadratic(jnp.eye(dim) + 0.3), GaussianNoise(0.3), optimizer)
        rows = [jnp.linspace(0.5, 1.0, dim) * (1 + 0.1 * k) for k in range(len(optimizer.slots))]
        state = jnp.stack(rows)
        derive(chain, weak_order=1, at=state, step=8.0)
        moments = step_moments(chain, 8.0, state, 5)
    except DriftaxError as error:
        assert error.asked and error.found and error.instead
        return "refused"
    assert np.all(np.isfinite(moments.mean)) and np.all(np.isfinite(moments.covariance())), (
        "an unreported NaN"
    )
    return "finite"


def run(count: int, seed: int) -> tuple[collections.Counter, list[str]]:
    """The outcomes of `count` chains, and the failures."""
    names = list(parts(1.0, np.random.default_rng(0)))
    seen, failures = collections.Counter(), []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        chosen = [str(n) for n in rng.choice(names, size=int(rng.integers(1, 5)))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seen[outcome(chosen, number, int(rng.integers(1, 4)))] += 1
        except Exception:
            seen["FAILED"] += 1
            failures.append(
                f"chain {number} of seed {seed}: {' -> '.join(chosen)}\n{traceback.format_exc(limit=-5)}"
            )
        if number % 50 == 49:
            jax.clear_caches()
    return seen, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    started = time.monotonic()
    seen, failures = run(arguments.count, arguments.seed)
    for text in failures[:20]:
        print(text)
    print(dict(seen), f"{time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

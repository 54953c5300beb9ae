"""The rules, one function each: from settings and the growth kappa of the batch to new settings.

Training is compared at equal numbers of examples: kappa times the batch means 1/kappa as many steps. A memory of
1/(1 - b) steps then spans the same examples where 1 - b grows by kappa.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from driftax.scaling.settings import Number, Settings

LIMIT = 1 - 1e-9  # of a rate 1 - b, of which 10 * (1 - 0.9) falls short by rounding alone


@dataclass(frozen=True)
class Rule:
    """A rule of the catalogue.

    Args:
        move: from settings, kappa and the noise scale (nan if unknown) to new settings.
        regime: "noise" or "signal", where a rule is one of a limit; else what it assumes, in words.
        source: of the rule.
        needs_noise_scale: whether it is a function of it.
        applies: to which settings.
    """

    move: Callable[[Settings, Number, Number], Settings]
    regime: str
    source: str
    needs_noise_scale: bool = False
    applies: Callable[[Settings], bool] = lambda settings: True


def _with(settings: Settings, kappa: Number, **changed: Number | None) -> Settings:
    return replace(settings, batch=settings.batch * kappa, **changed)  # type: ignore[arg-type]


def _memories(settings: Settings, kappa: Number) -> dict[str, float]:
    """Every memory in examples is kept: 1 - b grows by kappa. nan where that leaves [0, 1)."""
    rates = {name: kappa * (1 - getattr(settings, name)) for name in settings.memories}
    return {name: 1 - rate if rate < LIMIT else math.nan for name, rate in rates.items()}


def none(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """Nothing moves."""
    return _with(settings, kappa)


def linear(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """`learning_rate * kappa`, and for normalised steps `1 - b -> kappa (1 - b)`; the momentum of SGD is kept.

    The drift per example is kept. For SGD so is the noise per example; for normalised steps where the gradient
    dominates its noise. Momentum kept is the published rule and leaves learning_rate / (1 - b1) what it was but for
    kappa; its memory in examples grows.

    Source: goyal2017; for normalised steps callisti2025 (ballistic regime).
    """
    moved = _memories(settings, kappa) if settings.normalised else {}
    return _with(settings, kappa, learning_rate=kappa * settings.learning_rate, **moved)


def sqrt(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """Square roots: `learning_rate * kappa**0.5`, `1 - b -> kappa (1 - b)`, `eps / kappa**0.5`; the decay is kept.

    Normalised steps divide by the noise, which falls by sqrt(kappa).

    Source: malladi2022, square-root scaling rule; for SGD krizhevsky2014, a heuristic.
    """
    moved: dict[str, float | None] = dict(_memories(settings, kappa)) if settings.normalised else {}
    if settings.eps is not None:
        moved["eps"] = settings.eps / math.sqrt(kappa)
    return _with(settings, kappa, learning_rate=math.sqrt(kappa) * settings.learning_rate, **moved)


def sqrt_decay(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """As `sqrt`, and a decoupled weight_decay times sqrt(kappa): learning_rate * weight_decay per example is kept.

    Source: compagnoni2025, Lemma 3.13.
    """
    moved = sqrt(settings, kappa, noise_scale)
    return _with(moved, 1.0, weight_decay=math.sqrt(kappa) * settings.weight_decay)


def half_life(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """The second moment forgets in as many examples as before, `b2 -> b2**kappa`; all else is kept.

    Source: marek2025, 2507.07101.
    """
    return _with(settings, kappa, b2=None if settings.b2 is None else settings.b2**kappa)


def half_life_b1(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """As `half_life`, and the first moment or momentum too: `b1 -> b1**kappa`.

    Source: marek2025, 2507.07101, for b2; for b1 by the same half-life.
    """
    moved = half_life(settings, kappa, noise_scale)
    return replace(moved, b1=None if settings.b1 is None else settings.b1**kappa)


def time_scale(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """`weight_decay * kappa` at the same learning rate: the average that AdamW's params are spans the same examples.

    Source: wang2024, 2405.13698; bergsma2025, 2505.13738.
    """
    return _with(settings, kappa, weight_decay=kappa * settings.weight_decay)


def noise_scale_rule(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """`learning_rate / (1 + B_noise / B)^a` relative to the old batch: a = 1 for SGD, 1/2 for normalised steps.

    Source: mccandlish2018, eq. (2.7) and appendix E (a in [1/2, 1] for Adam).
    """
    power = 0.5 if settings.normalised else 1.0
    ratio = (1 + noise_scale / settings.batch) / (1 + noise_scale / (kappa * settings.batch))
    return _with(settings, kappa, learning_rate=settings.learning_rate * ratio**power)


def surge(settings: Settings, kappa: Number, noise_scale: Number) -> Settings:
    """`learning_rate / ((B_n/B)^1/2 + (B/B_n)^1/2)` relative to the old batch: it rises to B_n, then falls.

    Source: li2024, 2405.14578 (small signal).
    """

    def share(batch: Number) -> float:
        return 1 / (math.sqrt(noise_scale / batch) + math.sqrt(batch / noise_scale))

    return _with(
        settings,
        kappa,
        learning_rate=settings.learning_rate * share(kappa * settings.batch) / share(settings.batch),
    )


RULES: dict[str, Rule] = {
    "none": Rule(none, "", "the settings as they are"),
    "linear": Rule(linear, "signal", "goyal2017; callisti2025"),
    "sqrt": Rule(sqrt, "noise", "malladi2022"),
    "sqrt-decay": Rule(
        sqrt_decay, "noise", "compagnoni2025, Lemma 3.13", applies=lambda s: s.normalised and s.decoupled
    ),
    "half-life": Rule(
        half_life,
        "small batches; the learning rate is to be tuned",
        "marek2025",
        applies=lambda s: s.adaptive,
    ),
    "half-life-b1": Rule(
        half_life_b1,
        "small batches; the learning rate is to be tuned",
        "marek2025, its half-life for b1 as well",
        applies=lambda s: bool(s.b1) and s.optimizer != "lion",  # whose b1 is a weight, no memory
    ),
    "time-scale": Rule(
        time_scale,
        "batches well below the critical one",
        "wang2024; bergsma2025",
        applies=lambda s: s.normalised and s.decoupled,
    ),
    "noise-scale": Rule(noise_scale_rule, "one step on a local quadratic", "mccandlish2018", True),
    "surge": Rule(surge, "sign-like steps, small signal", "li2024", True, applies=lambda s: s.normalised),
}

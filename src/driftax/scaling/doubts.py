"""What a rule does not keep although its regime holds, in closed form, and which betas it leaves as they are."""

from __future__ import annotations

import math

from driftax.scaling.settings import Settings

_SIGN_NOISE = 0.1  # relative change, above which a rule is doubtful
_DECAYED_LOSS = 0.02
_ROOTS = ("sqrt", "sqrt-decay")


def doubt(name: str, old: Settings, new: Settings) -> str:
    """A number that a rule changes though it should keep it; nothing where it is small."""
    if name in _ROOTS and old.optimizer == "lion":
        return _changed_sign(lion_noise(new) / lion_noise(old))
    if name == "sqrt-decay" and old.adaptive:
        return _changed_loss(variance_factor(new) / variance_factor(old) - 1, new)
    if name == "half-life-b1" and not old.normalised:
        before, after = (one.learning_rate / (1 - (one.b1 or 0.0)) for one in (old, new))
        return f"learning_rate / (1 - b1) from {before:.3g} to {after:.3g}"
    return ""


def lion_noise(settings: Settings) -> float:
    """The deviation of what Lion takes the sign of, over that of one gradient.

    It is `b1 m + (1 - b1) gradient` with m an average by b2 of white noise. A noisy step is the sign of signal over it.

    Source: re-derived.
    """
    b1, b2 = settings.b1 or 0.0, settings.b2 or 0.0
    return math.sqrt((1 - b1) ** 2 + b1**2 * (1 - b2) / (1 + b2))


def variance_factor(settings: Settings) -> float:
    """The stationary variance of AdamW's params over that of its equation, as PyTorch orders decay and step.

    With `x' = (1 - d) x - step`, d = learning_rate * weight_decay, and a frozen second moment params are an
    autoregression of order 2; this is its variance for small curvature times step. 1 where d is small beside 1 - b1.

    Source: re-derived (compagnoni2025, Lemma 3.13, has 1).
    """
    b1, d = settings.b1 or 0.0, settings.learning_rate * settings.weight_decay
    carried = b1 * (1 - d)
    return (1 - b1) / (1 - carried) * 2 * (1 + carried) / ((1 + b1) * (2 - d))


def kept(name: str, old: Settings) -> str:
    """The beta that a rule leaves where another choice is known."""
    if not old.b1:
        return ""
    if name == "half-life":
        return "b1 is kept (half-life-b1 moves it too)"
    if name == "linear" and not old.normalised:
        return "the momentum is kept"
    if name in ("linear", *_ROOTS) and "b1" not in old.memories and old.normalised:
        return "b1 inside the sign is kept" + (
            " (half-life-b1 moves it)" if old.optimizer == "signum" else ""
        )
    return ""


def _changed_sign(ratio: float) -> str:
    if abs(ratio - 1) <= _SIGN_NOISE:
        return ""
    told = f"the noise inside Lion's sign is {ratio:.3g} times what the rule assumes"
    return f"{told}, so drift per example is {1 / ratio:.3g} times the old one"


def _changed_loss(change: float, new: Settings) -> str:
    if abs(change) <= _DECAYED_LOSS:
        return ""
    rate = 1 - (new.b1 or 0.0)
    cause = f"decay before the step, kappa * (1 - b1) = {rate:.3g}"
    return f"the stationary loss changes by about {change:+.1%} ({cause})"

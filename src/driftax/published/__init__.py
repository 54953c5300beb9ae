"""The equations of the papers, one file per paper: models to choose in a study, and oracles for the compiler."""

from __future__ import annotations

import difflib

from driftax._errors import DriftaxError
from driftax.chain import Chain
from driftax.equation.extended import ExtendedEquation, extend
from driftax.equation.published import Formula, PublishedEquation
from driftax.noise import AbstractContinuousNoise, Message, WorkersNoise
from driftax.optimizer import AbstractOptimizer, Momentum, RMSprop, SignSGD
from driftax.published import callisti_2025, compagnoni_2025, distributed_2025, li_tai_e_2019, malladi_2022
from driftax.regime import Regime

FORMULAS: dict[str, dict[type, Formula]] = {
    **li_tai_e_2019.FORMULAS,
    **malladi_2022.FORMULAS,
    **compagnoni_2025.FORMULAS,
    **distributed_2025.FORMULAS,
    **callisti_2025.FORMULAS,
}
EXTENDED = "callisti-2025-extended"  # its equation of order 2 with a coloured noise in place of nu's own
MODELS = (*FORMULAS, EXTENDED)


def claimed(model: str) -> int:
    """The weak order a published equation claims."""
    return 2 if model == EXTENDED else next(iter(FORMULAS[model].values())).weak_order


def publish(model: str, chain: Chain) -> PublishedEquation | ExtendedEquation:
    """The published equation of a chain's optimizer.

    Raises:
        DriftaxError: for an unknown name, or an optimizer, law or coordinates its paper does not speak of.
    """
    if model == EXTENDED:
        return extend(_published("callisti-2025-2", model, chain), model)
    return _published(model, model, chain)


def _published(model: str, asked_for: str, chain: Chain) -> PublishedEquation:
    if model not in FORMULAS:
        near = difflib.get_close_matches(model, MODELS, 1)
        raise DriftaxError(
            f"the published model {model!r}", "no such model", near[0] if near else ", ".join(MODELS)
        )
    asked = f'models = ["{asked_for}"]'
    formulas = FORMULAS[model]
    formula = next((f for optimizer, f in formulas.items() if type(chain.optimizer) is optimizer), None)
    if formula is None:
        known = " or ".join(optimizer.__name__ for optimizer in formulas)
        instead = ", ".join(f'"{name}"' for name in models_of(chain.optimizer)) or '"derived-1", "derived-2"'
        raise DriftaxError(
            asked, f"{chain.optimizer.name}, where its paper has {known}", f"models of {instead}"
        )
    reason = _why_not(formula, chain)
    if reason is not None:
        raise DriftaxError(asked, *reason)
    return PublishedEquation(chain, formula)


def models_of(optimizer: AbstractOptimizer) -> list[str]:
    """The names of the published equations of an optimizer."""
    return [name for name, formulas in FORMULAS.items() if type(optimizer) in formulas]


def _why_not(formula: Formula, chain: Chain) -> tuple[str, str] | None:
    """What stands against a formula on a chain, and what to write instead; None if nothing does."""
    optimizer, law = chain.optimizer, chain.noise
    if chain.log_second_moments:
        return "logarithms of second moments as coordinates", 'coordinates = "natural"'
    if formula.name == distributed_2025.NAME and not isinstance(law, WorkersNoise):
        return f"{type(law).__name__}, which is not that of several workers", 'name = "workers" in [noise]'
    if (
        isinstance(law, WorkersNoise)
        and law.message is Message.SIGN
        and formula.name != distributed_2025.NAME
    ):
        return "the mean of signs, which is no gradient", f'models = ["{distributed_2025.NAME}"]'
    if formula.channels > 1 and not isinstance(law, AbstractContinuousNoise):
        return (
            f"{type(law).__name__}, which is drawn, and a formula that needs more of a law than its covariance",
            'models = ["derived-1"], or a [noise] with densities: name = "gaussian"',
        )
    if not isinstance(optimizer, SignSGD) and law.dof <= 2:
        return (
            f"a gradient law without covariance (dof = {law.dof:g})",
            'name = "signsgd" in [optimizer], or dof above 2',
        )
    if isinstance(optimizer, RMSprop) and optimizer.bias_correction:
        return "bias_correction = true, which its paper does not have for RMSprop", "bias_correction = false"
    if isinstance(optimizer, Momentum) and (optimizer.nesterov or float(optimizer.weight_decay)):
        return "Nesterov's momentum or a weight decay", 'models = ["derived-1"] or ["derived-2"]'
    if formula.weak_order == 2 and formula.channels == 2:
        return _why_not_order_2(chain)
    return None


def _why_not_order_2(chain: Chain) -> tuple[str, str] | None:
    """The same for equations with a Brownian motion of the second moment."""
    if not chain.noise.gaussian:
        return (
            f"{type(chain.noise).__name__}, and the formula for a Gaussian law",
            'models = ["derived-2"], or name = "gaussian" in [noise]',
        )
    if chain.regime is Regime.BATCH_EQUIVALENT and not chain.noise.constant:
        return (
            "a covariance that moves with the params in the batch-equivalent regime, where order 2 does not exist",
            'models = ["derived-1"], or a constant covariance',
        )
    return None

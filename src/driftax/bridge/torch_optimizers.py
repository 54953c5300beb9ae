"""A torch.optim optimizer as a driftax optimizer, proved on the real object before it is handed over.

torch is imported inside the functions: `import driftax` does without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from driftax._errors import DriftaxError
from driftax.bridge.torch_proof import prove
from driftax.bridge.torch_refusals import refuse_class, refuse_object
from driftax.optimizer import SGD, AbstractOptimizer, Adam, DecayForm, RMSprop
from driftax.optimizer._base import check_hyperparameters
from driftax.optimizer.adagrad import Adagrad
from driftax.optimizer.amsgrad import AMSGrad
from driftax.optimizer.dampened_momentum import DampenedMomentum
from driftax.optimizer.groups import Grouped
from driftax.optimizer.momentum import Momentum, MomentumForm
from driftax.optimizer.momentum_rmsprop import MomentumRMSprop
from driftax.optimizer.nadam import NAdam
from driftax.optimizer.radam import RAdam

Group = Mapping[str, Any]  # the numbers of one parameter group


def from_torch(
    optimizer: Any,
    *,
    rule: AbstractOptimizer | Sequence[AbstractOptimizer] | None = None,
    ignore_schedule: bool = False,
) -> AbstractOptimizer:
    """A torch.optim optimizer as a driftax optimizer.

    SGD, RMSprop, Adam, AdamW, NAdam, RAdam and Adagrad are read off their parameter groups. The params of the
    result are those of all groups, one after the other; its learning rate is that of the first group, and
    groups with other numbers become `Grouped`. Torch's momentum buffers are sums, driftax's are averages, so
    that an SGD or RMSprop with momentum has `learning_rate = lr (1 - dampening) / (1 - momentum)`, its time
    step. foreach, fused, capturable and differentiable do not change the update and are accepted.

    Before it is returned it is run against the real class, with the same groups and numbers on small
    parameters of its own: 20 steps in double precision, which must agree to 1e-10. Your params, the state of
    your optimizer and every random generator are left alone. It is the rule that is taken over, not the
    state your optimizer is in.

    Args:
        optimizer: an object such as `torch.optim.Adam(model.parameters())`.
        rule: your own rule for a class that is not in the list (one per parameter group, where their numbers
            differ); it is proved in the same way.
        ignore_schedule: take the learning rate as it is now although a scheduler is attached.

    Raises:
        DriftaxError: if torch is missing, if the optimizer is none of these and there is no `rule`, if
            hooks or a scheduler change its steps, or if the proof fails.

    Example:
        >>> model = torch.nn.Linear(3, 1)  # doctest: +SKIP
        >>> from_torch(torch.optim.AdamW(model.parameters(), lr=1e-3)).weight_decay  # doctest: +SKIP
        0.01

    An optimizer of your own, whose step is a function of its vectors and the gradient alone, is given as a
    rule: its numbers as fields, its vectors as `slots`, and `update`.

        >>> from driftax.optimizer import AbstractOptimizer
        >>> class Trace(AbstractOptimizer):
        ...     learning_rate: float
        ...     decay: float = 0.9
        ...     slots = {"params": 0, "trace": 1}  # each with its power of [gradient]
        ...
        ...     def update(self, step, state, gradient):
        ...         trace = self.decay * state.trace + (1 - self.decay) * gradient
        ...         return self.unpack((state.params - self.learning_rate * trace, trace))
        >>> from_torch(your_optimizer, rule=Trace(0.1))  # doctest: +SKIP
    """
    torch = _torch()
    if not isinstance(optimizer, torch.optim.Optimizer):
        refuse_object(optimizer)
    _check_steps(optimizer, ignore_schedule)
    groups, sizes = _groups(optimizer)
    if rule is None:
        translate = _TRANSLATORS.get(_torch_name(torch, optimizer))
        if translate is None:
            refuse_class(optimizer, groups, _torch_name(torch, optimizer))
        rules = translate(groups, optimizer.defaults)
    else:
        rules = [rule] * len(groups) if isinstance(rule, AbstractOptimizer) else list(rule)
        if len(rules) != len(groups):
            raise DriftaxError(
                "`from_torch(optimizer, rule=...)`",
                f"{len(rules)} rules for {len(groups)} parameter groups",
                "one rule for all groups, or a list of one for each",
            )
    prove(torch, optimizer, groups, lambda small: _joined(rules, groups, small))
    return _joined(rules, groups, sizes)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise DriftaxError(
            "`from_torch(optimizer)`",
            f"no torch in this environment ({error})",
            'pip install "driftax[torch]"',
        ) from None
    return torch


def _torch_name(torch: Any, optimizer: Any) -> str | None:
    """The name of one of torch's own classes; None for any other, subclasses included."""
    kind = type(optimizer)
    return kind.__name__ if getattr(torch.optim, kind.__name__, None) is kind else None


def _groups(optimizer: Any) -> tuple[list[dict[str, Any]], list[int]]:
    """The numbers of the parameter groups that have parameters, and how many they have."""
    groups, sizes = [], []
    for number, group in enumerate(optimizer.param_groups):
        for param in group["params"]:
            fault = "a complex parameter" if param.is_complex() else None
            fault = fault or (
                None if param.requires_grad else "a parameter that is frozen (requires_grad=False)"
            )
            if fault:
                raise DriftaxError(
                    "`from_torch(optimizer)`",
                    f"{fault} of shape {list(param.shape)} in parameter group {number}",
                    "an optimizer of the real parameters that move: [p for p in model.parameters() "
                    "if p.requires_grad]",
                )
        if size := sum(param.numel() for param in group["params"]):
            groups.append({key: _plain(value) for key, value in group.items() if key != "params"})
            sizes.append(size)
    if not groups:
        raise DriftaxError(
            "`from_torch(optimizer)`", "no parameters in it", "an optimizer of the model's params"
        )
    return groups, sizes


def _plain(value: Any) -> Any:
    """A hyperparameter without its tensors; a number is a float."""
    if isinstance(value, tuple | list):
        return tuple(_plain(entry) for entry in value)
    if hasattr(value, "numel") and value.numel() == 1:
        value = value.item()
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_steps(optimizer: Any, ignore_schedule: bool) -> None:
    """Refuses what changes a step from outside."""
    hooks = [*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values()]
    if hooks:
        raise DriftaxError(
            "`from_torch(optimizer)`",
            f"{len(hooks)} step hook(s) on it, which may change what a step does",
            "the optimizer without register_step_pre_hook and register_step_post_hook",
        )
    first = optimizer.param_groups[0]
    if "initial_lr" in first and not ignore_schedule:
        now, start = float(first["lr"]), float(first["initial_lr"])
        raise DriftaxError(
            "`from_torch(optimizer)`",
            f"a learning-rate scheduler on it (initial_lr = {start:g}): from_torch reads the lr of this moment, "
            f"{now:g}, and would leave the schedule out",
            "from_torch(optimizer, ignore_schedule=True) for the equation at this lr; for the schedule, call "
            "from_torch before the scheduler is made and wrap the result: Scheduled(from_torch(optimizer), "
            '{"learning_rate": cosine(steps)}), of driftax.optimizer',
        )


def _joined(
    rules: Sequence[AbstractOptimizer], groups: Sequence[Group], sizes: Sequence[int]
) -> AbstractOptimizer:
    climbs = [bool(group.get("maximize", False)) for group in groups]
    if len(rules) == 1 and not climbs[0]:
        return rules[0]
    return Grouped(tuple(rules), tuple(sizes), tuple(climbs))


# ---------------------------------------------------------------- one function per class


def _sgd(groups: Sequence[Group], defaults: Group) -> list[AbstractOptimizer]:
    moving = [group for group in groups if group["momentum"] != 0]
    if not moving:
        return [SGD(g["lr"], g["weight_decay"], DecayForm.L2) for g in groups]
    nesterov = _shared("SGD", moving, "nesterov")
    if all(group["dampening"] == 0 for group in moving):
        form = MomentumForm.HEAVY_BALL
        return [
            Momentum(g["lr"], g["momentum"], form, nesterov, g["weight_decay"], DecayForm.L2) for g in groups
        ]
    rules: list[AbstractOptimizer] = []
    for group in groups:
        lr, momentum = group["lr"], group["momentum"]
        dampening = group["dampening"] if momentum != 0 else 0.0
        check_hyperparameters("from_torch(SGD): the dampening", decay=dampening)
        check_hyperparameters("from_torch(SGD): the momentum", decay=momentum)
        rate = lr * (1 - dampening) / (1 - momentum)
        rules.append(DampenedMomentum(rate, momentum, dampening, group["weight_decay"]))
    return rules


def _rmsprop(groups: Sequence[Group], defaults: Group) -> list[AbstractOptimizer]:
    centered = _shared("RMSprop", groups, "centered")
    moving = any(group["momentum"] != 0 for group in groups)
    if not centered and not moving:
        return [RMSprop(g["lr"], g["alpha"], g["eps"], g["weight_decay"], DecayForm.L2) for g in groups]
    rules: list[AbstractOptimizer] = []
    for group in groups:
        momentum = group["momentum"]
        check_hyperparameters("from_torch(RMSprop): the momentum", decay=momentum)
        rule = MomentumRMSprop(
            group["lr"] / (1 - momentum),
            group["alpha"],
            momentum if moving else None,
            group["eps"],
            group["weight_decay"],
            DecayForm.L2,
            centered,
        )
        rules.append(rule)
    return rules


def _adam(groups: Sequence[Group], defaults: Group) -> list[AbstractOptimizer]:
    kind: type[Adam] | type[AMSGrad] = AMSGrad if _shared("Adam", groups, "amsgrad") else Adam
    form = _decay_form("Adam", groups)
    return [kind(g["lr"], *_betas(g), g["eps"], g["weight_decay"], form) for g in groups]


def _nadam(groups: Sequence[Group], defaults: Group) -> list[AbstractOptimizer]:
    form = _decay_form("NAdam", groups)
    return [
        NAdam(g["lr"], *_betas(g), g["eps"], g["momentum_decay"], g["weight_decay"], form) for g in groups
    ]


def _radam(groups: Sequence[Group], defaults: Group) -> list[AbstractOptimizer]:
    form = _decay_form("RAdam", groups)
    return [RAdam(g["lr"], *_betas(g), g["eps"], g["weight_decay"], form) for g in groups]


def _adagrad(groups: Sequence[Group], defaults: Group) -> list[AbstractOptimizer]:
    # torch starts every group at the accumulator of the constructor, whatever the group says.
    start = float(defaults["initial_accumulator_value"])
    return [Adagrad(g["lr"], g["eps"], g["lr_decay"], start, g["weight_decay"], DecayForm.L2) for g in groups]


_TRANSLATORS: dict[str | None, Callable[[Sequence[Group], Group], list[AbstractOptimizer]]] = {
    "SGD": _sgd,
    "RMSprop": _rmsprop,
    "Adam": _adam,
    "AdamW": _adam,
    "NAdam": _nadam,
    "RAdam": _radam,
    "Adagrad": _adagrad,
}


def _betas(group: Group) -> tuple[float, float]:
    first, second = group["betas"]
    return first, second


def _decay_form(name: str, groups: Sequence[Group]) -> DecayForm:
    """The form of weight decay, which a group without one leaves open."""
    decaying = [group for group in groups if group["weight_decay"] != 0] or groups
    decoupled = _shared(name, decaying, "decoupled_weight_decay")
    return DecayForm.DECOUPLED if decoupled else DecayForm.L2


def _shared(name: str, groups: Sequence[Group], option: str) -> bool:
    """An option that all groups must have in common: it makes another rule, not another number."""
    values = {bool(group[option]) for group in groups}
    if len(values) > 1:
        raise DriftaxError(
            f"`from_torch` of {name} with several parameter groups",
            f"{option} on in some and off in others: two rules in one optimizer",
            f"one value of {option} for all groups; numbers (lr, betas, eps, weight_decay, momentum) may differ",
        )
    return values.pop()

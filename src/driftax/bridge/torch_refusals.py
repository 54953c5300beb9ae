"""What `from_torch` cannot take, and the lines to write instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from driftax._errors import DriftaxError

# What is wrong with a class of torch, and what to write.
_REASONS = {
    "LBFGS": (
        "a step that calls a closure several times and searches along a line: no map of one stochastic gradient",
        "torch.optim.SGD or torch.optim.Adam, whose step needs one gradient",
    ),
    "SparseAdam": (
        "sparse gradients: a coordinate moves only in the steps in which it occurs",
        "torch.optim.Adam on dense gradients",
    ),
    "Adafactor": (
        "second moments factored over rows and columns and a step clipped by its norm: coordinates mix",
        "torch.optim.AdamW, which keeps a second moment for each coordinate",
    ),
    "Muon": (
        "a step that orthogonalises whole matrices: coordinates mix",
        "Momentum(learning_rate, form=MomentumForm.EMA, nesterov=True), its step before it is orthogonalised",
    ),
    "Rprop": (
        "step sizes that jump by 0.5 or 1.2 in every step, whatever the learning rate: no limit of small steps, "
        "so no SDE",
        "SignSGD(learning_rate), which keeps the sign and drops the jumps",
    ),
}


class _Rule(NamedTuple):
    """A rule driftax does not ship, in lines: why not, its vectors and its step."""

    reason: str
    slots: dict[str, int]
    update: tuple[str, ...]
    normalised: bool


_RULES = {
    "Adadelta": _Rule(
        "a class driftax does not ship: its eps is compared with gradients and with steps at once, which fits "
        "the ballistic regime alone",
        {"params": 0, "square_avg": 2, "acc_delta": 0},
        (
            "gradient = gradient + self.weight_decay * state.params",
            "square_avg = state.square_avg + (1 - self.rho) * (gradient**2 - state.square_avg)",
            "delta = jnp.sqrt(state.acc_delta + self.eps) / jnp.sqrt(square_avg + self.eps) * gradient",
            "acc_delta = state.acc_delta + (1 - self.rho) * (delta**2 - state.acc_delta)",
            "params = state.params - self.learning_rate * delta",
        ),
        True,
    ),
    "Adamax": _Rule(
        "a class driftax does not ship: it divides by the largest gradient of its memory, which grows as the "
        "clock gets finer, so that a law without bounds leaves no limit of small steps",
        {"params": 0, "exp_avg": 1, "exp_inf": 1},
        (
            "gradient = gradient + self.weight_decay * state.params",
            "exp_avg = state.exp_avg + (1 - self.b1) * (gradient - state.exp_avg)",
            "exp_inf = jnp.maximum(self.b2 * state.exp_inf, jnp.abs(gradient) + self.eps)",
            "rate = self.learning_rate / (1 - self.b1 ** (step + 1))",
            "params = state.params - rate * exp_avg / exp_inf",
        ),
        True,
    ),
}


def refuse_object(given: Any) -> NoReturn:
    """Refuses what is not an optimizer of torch."""
    name = f"`{type(given).__name__}`"
    if isinstance(given, type):
        name, instead = (
            f"the class `{given.__name__}`",
            f"from_torch({given.__name__}(model.parameters(), lr=...))",
        )
    elif hasattr(given, "optimizer"):
        instead = "from_torch(it.optimizer), the optimizer it wraps; a schedule is given by Scheduled"
    elif hasattr(given, "init") and hasattr(given, "update"):
        instead = "from_optax(family, learning_rate=...) for optax; a driftax optimizer is used as it is"
    else:
        instead = "from_torch(torch.optim.AdamW(model.parameters(), lr=1e-3))"
    raise DriftaxError("`from_torch(optimizer)`", f"{name}, which is not a torch.optim.Optimizer", instead)


def refuse_class(optimizer: Any, groups: Sequence[Mapping[str, Any]], name: str | None) -> NoReturn:
    """Refuses a class without a rule, with its reason and the lines to write.

    Args:
        optimizer: the object.
        groups: the numbers of its parameter groups.
        name: its name if it is a class of torch.
    """
    kind = type(optimizer)
    group = groups[0]
    found, instead = _REASONS.get(name or "", ("", ""))
    if name in _RULES:
        found, instead = _RULES[name].reason, lines_to_write(optimizer, group, _RULES[name])
    elif name == "ASGD":
        found = "a learning rate that falls by a rule of its own (and an average `ax`, which is left out)"
        instead = _asgd(group)
    elif not found:
        parents = [base.__name__ for base in kind.__mro__[1:] if base.__name__ not in ("Optimizer", "object")]
        found = "a class driftax has no rule for: it cannot read a step off Python code"
        if parents:
            found = f"a subclass of {parents[0]}, whose step may be another"
        instead = lines_to_write(optimizer, group)
    raise DriftaxError(f"`from_torch` of {kind.__module__}.{kind.__qualname__}", found, instead)


def _asgd(group: Mapping[str, Any]) -> str:
    lr, lambd, alpha = group["lr"], group["lambd"], group["alpha"]
    decay = lambd + group["weight_decay"]
    return "\n".join(
        [
            "# the params of ASGD; from_torch runs them against the real class",
            "from driftax.optimizer import SGD, Scheduled",
            "",
            f"falling = {{'learning_rate': lambda step: (1 + {lambd * lr!r} * step) ** -{alpha!r}}}",
            f"from_torch(optimizer, rule=Scheduled(SGD({lr!r}, weight_decay={decay!r}), falling))",
        ]
    )


def lines_to_write(optimizer: Any, group: Mapping[str, Any], known: _Rule | None = None) -> str:
    """A rule of one's own for an optimizer, as far as its numbers and its state tell."""
    numbers = _numbers(group)
    rate = numbers.pop("learning_rate", 0.001)
    state = next((entry for entry in optimizer.state.values() if entry), None)
    slots = known.slots if known else {"params": 0, **_vectors(state)}
    vectors = list(slots)[1:]
    hint = "" if known or state else "; after one step() they are read off its state"
    name = type(optimizer).__name__ + "Rule"
    roles = ", ".join(f'"{key}": {_role(key)}' for key in ("learning_rate", *numbers))
    update = (
        known.update
        if known
        else (
            *(f"{vector} = state.{vector}  # ... the line of step() that changes it" for vector in vectors),
            f"params = state.params - self.learning_rate * {vectors[0] if vectors else 'gradient'}  # ...",
        )
    )
    normalised = ["    normalised = True", ""] if known and known.normalised else []
    return "\n".join(
        [
            "# your rule; from_torch runs it against the real class",
            "import jax.numpy as jnp",
            "from driftax.optimizer import AbstractOptimizer",
            "from driftax.regime import Role",
            "",
            f"class {name}(AbstractOptimizer):",
            "    learning_rate: float",
            *(f"    {key}: float = {value!r}" for key, value in numbers.items()),
            *normalised,
            f"    slots = {slots!r}  # its vectors, each with its power of [gradient]{hint}",
            f"    roles = {{{roles}}}  # how each number moves along the ladder",
            "",
            "    def update(self, step, state, gradient):  # step counts from 0",
            *(f"        {line}" for line in update),
            f"        return self.unpack(({', '.join(['params', *vectors])},))",
            "",
            f"from_torch(optimizer, rule={name}({rate!r}))",
        ]
    )


def _numbers(group: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a parameter group under driftax's names."""
    numbers: dict[str, float] = {}
    for key, value in group.items():
        if key == "betas" and isinstance(value, tuple):
            numbers |= {f"b{i + 1}": beta for i, beta in enumerate(value)}
        elif isinstance(value, float) and key.isidentifier() and key != "initial_lr":
            numbers["learning_rate" if key == "lr" else key] = value
    return numbers


def _vectors(state: Mapping[str, Any] | None) -> dict[str, int]:
    """The vectors of a parameter's state with a guess of their power of [gradient]."""
    vectors = {}
    for key, value in (state or {}).items():
        if getattr(value, "ndim", 0) > 0:
            vectors[str(key)] = 2 if any(word in str(key) for word in ("sq", "var", "sum", "nu")) else 1
    return vectors


def _role(name: str) -> str:
    roles = {"learning_rate": "LEARNING_RATE", "eps": "EPS", "weight_decay": "L2_DECAY"}
    decays = ("b1", "b2", "b3", "momentum", "alpha", "rho")
    return "Role." + ("DECAY" if name in decays else roles.get(name, "FIXED"))

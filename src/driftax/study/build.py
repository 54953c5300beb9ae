"""From a study to the objects of the mathematics: the chain at rung 1 and the state it starts from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Slots
from driftax.chain import Chain
from driftax.study.spec import Study


def build_chain(study: Study, *, natural: bool = False) -> Chain:
    """The chain of a study at rung 1.

    Args:
        study: as read by `load_study`.
        natural: whether second moments are themselves the coordinates, whatever the study says.

    Raises:
        DriftaxError: if the gradient law is not one of this objective at the start.
    """
    objective, own = study.objective.build(study.seed)
    noise = study.noise.build()
    noise.check(objective, study.start.arrays().get("params", own))
    optimizer = study.optimizer.build(study.regime.regime)
    log = study.compare is not None and study.compare.coordinates == "log"
    return Chain(objective, noise, optimizer, study.regime.regime, log and not natural)


def start_params(study: Study) -> Float[Array, " dim"]:
    """The params a study starts from: those of [start], else the model's own."""
    _, own = study.objective.build(study.seed)
    return study.start.arrays().get("params", own)


def start_state(study: Study, chain: Chain) -> Slots | None:
    """The state [slot, dim] the comparison starts from, in the chain's coordinates.

    Slots that [start] leaves out are the optimizer's own initial ones. None where the study hands over from
    the optimizer's ensemble instead.
    """
    if study.start.handover is not None:
        return None
    return chain.from_natural(natural_start(study, chain))


def state_to_look_at(study: Study, chain: Chain) -> tuple[Slots, float]:
    """A state of the study and the steps of rung 1 taken there, for what is computed at one state.

    It is the start, or the end of one path of the optimizer over the handover.
    """
    z = natural_start(study, chain)
    if study.start.handover is None:
        return chain.from_natural(z), float(study.start.step)
    handover = study.start.handover
    natural = Chain(chain.objective, chain.noise, chain.optimizer, chain.regime)
    keys = jax.random.split(jax.random.key(study.seed), handover)

    def step(number, state):
        gradient = natural.noise.sample(keys[number], natural.objective, natural.params(state))
        return natural.step(jnp.asarray(number, dtype=float), state, gradient)

    return chain.from_natural(jax.lax.fori_loop(0, handover, step, z)), float(handover)


def natural_start(study: Study, chain: Chain) -> Slots:
    """The state [slot, dim] of [start] in the regime's units; what it leaves out is the optimizer's own."""
    params = start_params(study)
    initial = chain.optimizer.pack(chain.optimizer.init(params)) * chain.units
    given = study.start.arrays()
    rows = zip(chain.slots, initial, strict=True)
    return jnp.stack([jnp.broadcast_to(given.get(slot, row), row.shape) for slot, row in rows])


def read_state(path: str | Path, chain: Chain) -> tuple[Slots, float]:
    """A state file: `{"params": [...], "mu": [...], "nu": [...], "step": k}`, in the regime's own units.

    Args:
        path: the JSON file.
        chain: at rung 1; its slots are the keys wanted, `nu` in its own units.

    Returns:
        The state [slot, dim] in the chain's coordinates and the steps of rung 1 taken (0 if left out).

    Raises:
        DriftaxError: if the file cannot be read, or a slot is missing, unknown, too long or not finite.
    """
    asked, slots = f"the state file {path}", chain.slots
    example = "{" + ", ".join([*(f'"{slot}": [...]' for slot in slots), '"step": 0']) + "}"
    values = _read_json(Path(path), asked, example)
    for key in values:
        if key not in (*slots, "step"):
            raise DriftaxError(asked, f"the unknown key {key}; the state has {', '.join(slots)}", example)
    rows = []
    for slot in slots:
        if slot not in values:
            raise DriftaxError(asked, f"no {slot}; the state has {', '.join(slots)}", example)
        rows.append(_row(asked, slot, values[slot], chain.objective.dim))
    step = values.get("step", 0)
    if not _finite(step) or step < 0 or step != int(step):
        raise DriftaxError(asked, f"step = {step}", "step: a whole number of 0 or more, in steps of rung 1")
    second = [row for row, power in zip(rows, chain.optimizer.slots.values(), strict=True) if power == 2]
    lowest = min((min(row) for row in second), default=1.0)
    if lowest < 0 or (lowest == 0 and chain.log_second_moments):
        limit = "above 0, whose logarithm is the coordinate" if chain.log_second_moments else "of 0 or more"
        raise DriftaxError(asked, f"a second moment of {lowest:g}", f"second moments {limit}")
    return chain.from_natural(jnp.asarray(rows, dtype=float)), float(step)


def _read_json(path: Path, asked: str, example: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DriftaxError(asked, (error.strerror or str(error)).lower(), f"a file with {example}") from None
    except ValueError as error:
        raise DriftaxError(asked, f"JSON that cannot be read: {error}", example) from None
    if not isinstance(values, dict):
        raise DriftaxError(asked, f"a JSON {type(values).__name__}", example)
    return values


def _row(asked: str, slot: str, value: Any, dim: int | None) -> list[float]:
    if not isinstance(value, list) or not all(_finite(entry) for entry in value):
        raise DriftaxError(
            asked, f"{slot} = {json.dumps(value)[:80]}", f"{slot}: a list of {dim} finite numbers"
        )
    if len(value) != dim:
        raise DriftaxError(
            asked,
            f"{slot} with {len(value)} entries for an objective of {dim} parameters",
            f"{slot}: a list of {dim} finite numbers",
        )
    return [float(entry) for entry in value]


def _finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False

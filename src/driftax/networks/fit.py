"""Whether a model and a data set fit each other."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.data import Dataset


def check_labels(data: Dataset, asked: str) -> None:
    """Refuses labels that are not as many as the inputs, or that are no classes where classes are learned.

    Raises:
        DriftaxError: naming what was found.
    """
    for inputs, labels in ((data.inputs, data.labels), (data.test_inputs, data.test_labels)):
        if inputs is None and labels is None:
            continue
        sizes = [0 if values is None else len(values) for values in (inputs, labels)]
        if sizes[0] != sizes[1] or sizes[0] == 0:
            raise DriftaxError(asked, f"{sizes[0]} inputs with {sizes[1]} labels", "a label for every input")
        if data.classes is None:
            continue
        found = np.asarray(labels)
        if not np.issubdtype(found.dtype, np.integer) or found.min() < 0 or found.max() >= data.classes:
            raise DriftaxError(
                asked,
                f"labels of type {found.dtype} from {found.min()} to {found.max()}",
                f"whole numbers from 0 to {data.classes - 1}; or classes = None, for a regression",
            )


def check_outputs(outputs: Callable, start: Vector, data: Dataset, asked: str) -> None:
    """Tries the model on the shape of one input.

    Raises:
        DriftaxError: if it fails, or its outputs do not have the shape the labels need.
    """
    inputs = jax.eval_shape(lambda: jnp.asarray(data.inputs[0]))
    try:
        found = jax.eval_shape(outputs, start, inputs)
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0][:160]
        raise DriftaxError(
            asked,
            f"a model that fails on one input of shape {list(inputs.shape)}: {type(error).__name__}: {line}",
            "a model that is called with one input alone, without key or state",
        ) from error
    if not isinstance(found, jax.ShapeDtypeStruct):
        raise DriftaxError(asked, f"outputs that are a {type(found).__name__}", "one array of outputs")
    label = np.shape(data.labels[0])
    wanted = label if data.classes is None else (*label, data.classes)
    one_number = data.classes is None and found.size == np.prod(label, dtype=int)
    if found.shape != wanted and not one_number:
        raise DriftaxError(
            asked,
            f"outputs of shape {list(found.shape)} for one input of shape {list(inputs.shape)}",
            f"outputs of shape {list(wanted)}",
        )

"""The built-in networks by name, with their sizes."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Key
from driftax.data import Dataset
from driftax.networks._objective import Network, network
from driftax.networks.char_transformer import CharTransformer
from driftax.networks.cnn import CNN
from driftax.networks.deep_resnet import DeepResNet
from driftax.networks.logistic import Logistic
from driftax.networks.mlp import MLP
from driftax.networks.resnet import ResNet
from driftax.networks.shallow import Shallow
from driftax.networks.vision_transformer import VisionTransformer

_SMALLEST = {"cnn": 4, "resnet": 5}  # height and width of an image


class Kind(NamedTuple):
    """A built-in network.

    Attributes:
        inputs: what it takes: "numbers" (features or images), "images" or "text".
        sizes: the keys that size it, with their defaults.
        build: the model, of (shape of an input, outputs, sizes, key).
    """

    inputs: str
    sizes: dict[str, int]
    build: Callable[[tuple[int, ...], int, dict[str, int], Key], Any]


def _flat(model: Callable) -> Callable:
    return lambda shape, outputs, sizes, key: model(int(np.prod(shape)), outputs, **sizes, key=key)


def _resnet(shape, outputs, sizes, key):
    """One block is the small network of the source; more of them are the deep one."""
    if sizes["blocks"] == 1:
        return ResNet(shape, outputs, sizes["width"], key=key)
    return DeepResNet(shape, outputs, **sizes, key=key)


NETWORKS: dict[str, Kind] = {
    "logistic": Kind("numbers", {}, _flat(Logistic)),
    "shallow": Kind("numbers", {"width": 32}, _flat(Shallow)),
    "mlp": Kind("numbers", {"width": 20, "depth": 10}, _flat(MLP)),
    "cnn": Kind(
        "images", {"width": 8}, lambda shape, outputs, sizes, key: CNN(shape, outputs, **sizes, key=key)
    ),
    "resnet": Kind("images", {"width": 16, "blocks": 1}, _resnet),
    "vision_transformer": Kind(
        "images",
        {"patch": 4, "width": 64, "depth": 2, "heads": 4},
        lambda shape, outputs, sizes, key: VisionTransformer(shape, outputs, **sizes, key=key),
    ),
    "char_transformer": Kind(
        "text",
        {"width": 64, "depth": 2, "heads": 4},
        lambda shape, outputs, sizes, key: CharTransformer(shape[0], outputs, **sizes, key=key),
    ),
}


def named_network(
    model: str, data: Dataset, *, seed: int = 0, **sizes: int
) -> tuple[Network, Float[Array, " dim"]]:
    """A built-in network on a data set, as an objective with the params it starts from.

    Args:
        model: one of `NETWORKS`.
        data: as `load_data` returns it.
        seed: draws the initial params.
        sizes: such as `width`; those left out have the defaults of `NETWORKS`.

    Returns:
        The objective and the params [dim].

    Raises:
        DriftaxError: if there is no such network, it has no such size, a size does not fit, or it takes other
            data.

    Example:
        >>> from driftax.data import load_data
        >>> objective, start = named_network("mlp", load_data("breast_cancer"))
        >>> start.size
        4022
    """
    asked = f'the network "{model}" on {data.title}'
    if model not in NETWORKS:
        near = difflib.get_close_matches(model, NETWORKS, n=1, cutoff=0.5)
        known = ", ".join(NETWORKS)
        wanted = f"{near[0]}; known: {known}" if near else f"one of {known}"
        raise DriftaxError(asked, f"no network {model!r}", wanted)
    kind = NETWORKS[model]
    _check_data(asked, model, data)
    shape = tuple(data.inputs.shape[1:])
    every = _checked_sizes(asked, model, sizes, shape)
    return network(_drawn(lambda key: kind.build(shape, data.classes or 1, every, key), seed), data)


def _drawn(build: Callable[[Key], Any], seed: int) -> Any:
    """The model with its initial params, drawn by one program that is compiled fast because it runs once."""
    key = jax.random.key(seed)
    quick = {"xla_backend_optimization_level": 0}
    draw = jax.jit(lambda key: eqx.filter(build(key), eqx.is_array), compiler_options=quick)
    form = eqx.filter_eval_shape(build, key)
    return eqx.combine(draw(key), eqx.filter(form, lambda leaf: not isinstance(leaf, jax.ShapeDtypeStruct)))


def _given(data: Dataset) -> str:
    if not np.issubdtype(data.inputs.dtype, np.floating):
        return "text"
    return "images" if data.inputs.ndim == 4 else "features"


def _takes(kind: Kind, given: str) -> bool:
    return given != "text" if kind.inputs == "numbers" else given == kind.inputs


def _check_data(asked: str, model: str, data: Dataset) -> None:
    given = _given(data)
    if not _takes(NETWORKS[model], given):
        fitting = [name for name, kind in NETWORKS.items() if _takes(kind, given)]
        found = f"{given} of shape {list(data.inputs.shape[1:])}; {model} takes {NETWORKS[model].inputs}"
        raise DriftaxError(asked, found, "one of " + ", ".join(fitting))
    smallest = _SMALLEST.get(model, 1)
    if given == "images" and min(data.inputs.shape[1:3]) < smallest:
        found = f"images of shape {list(data.inputs.shape[1:])}"
        raise DriftaxError(asked, found, f"images at least {smallest} high and wide")


def _checked_sizes(asked: str, model: str, sizes: dict[str, int], shape: tuple[int, ...]) -> dict[str, int]:
    known = NETWORKS[model].sizes
    for name, size in sizes.items():
        if name not in known:
            wanted = "one of " + ", ".join(known) if known else f"no {name}: {model} has one size only"
            raise DriftaxError(asked, f"the size {name} = {size}", wanted)
        if size < 1:
            raise DriftaxError(asked, f"{name} = {size}", f"{name} = a whole number of 1 or more")
    every = {**known, **sizes}
    if "heads" in every and every["width"] % every["heads"]:
        found = f"width = {every['width']} and heads = {every['heads']}"
        raise DriftaxError(asked, found, "a width that the heads divide, such as width = 64, heads = 4")
    if "patch" in every and any(side % every["patch"] for side in shape[:2]):
        found = f"patch = {every['patch']} for images of shape {list(shape)}"
        raise DriftaxError(asked, found, "a patch that divides the height and the width")
    return every

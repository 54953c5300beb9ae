"""The networks a study may name, built for its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Key
from driftax.data import Dataset
from driftax.data.catalogue import Task
from driftax.networks.convolutions import CNN, ResNet, SmallResNet
from driftax.networks.objective import Network, network
from driftax.networks.perceptron import Perceptron
from driftax.networks.transformers import CharacterTransformer, VisionTransformer

Build = Callable[..., eqx.Module]


def _logistic(data: Dataset, key: Key) -> eqx.Module:
    return Perceptron((_features(data), data.classes or 1), key)


def _shallow(data: Dataset, key: Key, width: int = 3) -> eqx.Module:
    return Perceptron((_features(data), width, data.classes or 1), key)


def _mlp(data: Dataset, key: Key, width: int = 20, depth: int = 9) -> eqx.Module:
    return Perceptron((_features(data), *(width,) * depth, data.classes or 1), key)


def _cnn(data: Dataset, key: Key, width: int = 8) -> eqx.Module:
    return CNN(data.inputs.shape[-1], data.classes or 1, key, width)


def _small_resnet(data: Dataset, key: Key, width: int = 16) -> eqx.Module:
    return SmallResNet(data.inputs.shape[-1], data.classes or 1, key, width)


def _resnet(data: Dataset, key: Key, width: int = 8, depth: int = 3) -> eqx.Module:
    return ResNet(data.inputs.shape[-1], data.classes or 1, key, width, depth)


def _vision_transformer(data: Dataset, key: Key, **sizes: int) -> eqx.Module:
    height, width, channels = data.inputs.shape[1:]
    patch = {28: 7, 32: 8, 8: 2}.get(height, max(1, height // 4))
    return VisionTransformer((height, width, channels), data.classes or 1, key, patch=patch, **sizes)


def _character_transformer(data: Dataset, key: Key, **sizes: int) -> eqx.Module:
    return CharacterTransformer(data.inputs.shape[1], data.classes or 1, key, **sizes)


_PERCEPTRON, _IMAGES, _TEXT = "features or images", "images", "text"
# The data a network takes, the sizes it can be told, and how it is built.
NETWORKS: dict[str, tuple[str, tuple[str, ...], Build]] = {
    "logistic": (_PERCEPTRON, (), _logistic),
    "shallow": (_PERCEPTRON, ("width",), _shallow),
    "mlp": (_PERCEPTRON, ("width", "depth"), _mlp),
    "cnn": (_IMAGES, ("width",), _cnn),
    "small_resnet": (_IMAGES, ("width",), _small_resnet),
    "resnet": (_IMAGES, ("width", "depth"), _resnet),
    "vision_transformer": (_IMAGES, ("width", "depth", "heads"), _vision_transformer),
    "character_transformer": (_TEXT, ("width", "depth", "heads"), _character_transformer),
}


def network_by_name(
    name: str, data: Dataset, seed: int, **sizes: int
) -> tuple[Network, Float[Array, " dim"]]:
    """The network of a study, and the parameters it starts from.

    Args:
        name: among `NETWORKS`.
        data: what it is trained on.
        seed: of its parameters.
        sizes: `width`, `depth`, `heads`, where it has them.

    Raises:
        DriftaxError: for an unknown name, data it cannot take, or a size it does not have.
    """
    if name not in NETWORKS:
        raise DriftaxError("a network", f"model = {name!r}", "one of " + ", ".join(NETWORKS))
    takes, known, build = NETWORKS[name]
    kind = _TEXT if data.task is Task.TOKENS else _IMAGES if data.inputs.ndim == 4 else "features"
    if kind not in takes:
        fitting = ", ".join(other for other, (takes, _, _) in NETWORKS.items() if kind in takes)
        raise DriftaxError(f"{name} on {data.name}", f"{kind}, where it takes {takes}", f"one of {fitting}")
    for size in sizes:
        if size not in known:
            instead = f"no {size}" + (f"; it has {', '.join(known)}" if known else "")
            raise DriftaxError(f"{size} of {name}", "a network without it", instead)
    width, heads = sizes.get("width", 32), sizes.get("heads", 4)
    if "heads" in known and width % heads:
        raise DriftaxError(
            f"heads of {name}", f"heads = {heads} for width = {width}", "heads that divide width"
        )
    return network(build(data, jax.random.key(seed), **sizes), data)


def _features(data: Dataset) -> Any:
    return int(np.prod(data.inputs.shape[1:]))

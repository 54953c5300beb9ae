from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.noise._base import checked_batch
from driftax.noise.picks import AbstractPickedNoise, PickDraws, Picks, check_picks
from driftax.objective import AbstractObjective

_KEY = "gradients"
_WANTED = "a .npy array of floats [sample, parameter], or an .npz file with one under the name gradients"


class EmpiricalNoise(AbstractPickedNoise):
    """Recorded gradients: the noise of a step is the mean of `batch_size` of them picked afresh, about their mean.

    The law is the same at all params.

    Source: that of `MinibatchNoise` (re-derived).

    Args:
        gradients: recorded at one point, [sample, dim]; their mean does not matter.
        batch_size: picks per step, at rung 1: 1 if what was recorded are gradients of whole batches.
        replacement: whether a step may pick one twice.

    Raises:
        DriftaxError: for fewer than two samples, values that are not finite, or a batch that is too large.

    Example:
        >>> law = EmpiricalNoise([[0.0, 1.0], [2.0, 1.5], [1.0, 0.5]])
        >>> law.vectors.shape
        (3, 2)
    """

    vectors: Float[Array, "sample dim"]
    batch_size: Scalar
    replacement: bool = eqx.field(static=True)

    def __init__(self, gradients, batch_size: int = 1, replacement: bool = True):
        checked_batch("recorded gradients as gradient law", batch_size)
        gradients = _checked("recorded gradients as gradient law", np.asarray(gradients))
        check_picks("recorded gradients without replacement", batch_size, len(gradients), replacement)
        self.vectors = jnp.asarray(gradients - gradients.mean(axis=0, keepdims=True))
        self.batch_size, self.replacement = batch_size, replacement

    @classmethod
    def load(cls, path: str | Path, batch_size: int = 1, replacement: bool = True) -> EmpiricalNoise:
        """The law of gradients in a file.

        Raises:
            DriftaxError: if it cannot be read, holds pickled objects, or is no matrix of finite numbers.
        """
        return cls(_read(Path(path)), batch_size, replacement)

    def save(self, path: str | Path) -> None:
        """Writes the recorded gradients, about their mean, to an .npz file, all at once or not at all."""
        path = Path(path)
        if path.suffix != ".npz":
            raise DriftaxError(f"`save({str(path)!r})`", f"the ending {path.suffix!r}", f"{path.stem}.npz")
        handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, gradients=np.asarray(self.vectors))
            os.replace(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise

    @property
    def constant(self) -> bool:
        return True

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        if self.vectors.shape[1] != params.shape[0]:
            raise DriftaxError(
                "recorded gradients as gradient law",
                f"gradients of {self.vectors.shape[1]} parameters for {params.shape[0]} params",
                f"gradients of shape [sample, {params.shape[0]}]",
            )

    def picks(self, objective: AbstractObjective, params: Vector) -> Picks:
        return Picks(self.vectors, self.batch_size, self.replacement)

    def draws(self, objective: AbstractObjective) -> PickDraws:
        return self._draws_from(len(self.vectors))

    def gradient(self, objective: AbstractObjective, params: Vector, draw: Int[Array, " batch"]) -> Vector:
        return self.gradients(objective, params)(draw)

    def gradients(
        self, objective: AbstractObjective, params: Vector
    ) -> Callable[[Int[Array, " batch"]], Vector]:
        mean, vectors = objective.gradient(params), self.vectors.astype(params.dtype)
        return lambda draw: mean + jnp.mean(vectors[draw], axis=0)


def _checked(asked: str, gradients: np.ndarray) -> np.ndarray:
    if (
        gradients.dtype == object
        or not np.issubdtype(gradients.dtype, np.number)
        or np.iscomplexobj(gradients)
    ):
        raise DriftaxError(asked, f"values of type {gradients.dtype}", _WANTED)
    if gradients.ndim != 2 or len(gradients) < 2 or gradients.shape[1] < 1:
        raise DriftaxError(
            asked,
            f"an array of shape {list(gradients.shape)}",
            "shape [sample, parameter], with 2 samples or more",
        )
    gradients = gradients.astype(float)
    if not np.all(np.isfinite(gradients)):
        row, column = np.argwhere(~np.isfinite(gradients))[0]
        raise DriftaxError(
            asked, f"{gradients[row, column]} in sample {row}, parameter {column}", "finite numbers"
        )
    return gradients


def _array(asked: str, loaded) -> np.ndarray:
    if isinstance(loaded, np.ndarray):
        return loaded
    if _KEY not in loaded.files:
        names = ", ".join(loaded.files) or "none"
        raise DriftaxError(asked, f"no array of the name {_KEY}; there are: {names}", _WANTED)
    return loaded[_KEY]


def _read(path: Path) -> np.ndarray:
    asked = f"recorded gradients from {path}"
    try:
        with path.open("rb") as file:
            found = _array(asked, np.load(file, allow_pickle=False))
    except FileNotFoundError:
        raise DriftaxError(asked, "no such file", _WANTED) from None
    except OSError as error:
        raise DriftaxError(asked, (error.strerror or str(error)).lower(), _WANTED) from None
    except DriftaxError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        pickled = "pickle" in str(error).lower()
        what = "pickled objects, which could run code" if pickled else f"no NumPy file: {error}"
        raise DriftaxError(asked, what, _WANTED) from None
    return _checked(asked, found)

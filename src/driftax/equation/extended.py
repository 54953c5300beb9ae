r"""The equation of weak order 2 on an extended state: one coloured noise y per parameter.

In the batch-equivalent regime one step of RMSprop and Adam has third cumulants of size h^2, from the gradient noise
and its own square, which no equation on the optimizer's state has (`compiler.obstruction`). Here the square is
driven by a noise that remembers the gradient noise for one step. With `D = m + c_1 p_1(zeta/s) + c_2 p_2(zeta/s) + ..`
the step in the orthonormal polynomials of the gradient noise (s its standard deviations, R R^T its correlation), b
the drift of the order-2 equation on z and `S = c_1 - 1/2 J c_1 - 1/2 (d_k + m . grad) c_1`, in step time

    dz = [b(z) + c_2(z) p_2(y)] dk + S(z) R dW
    dy = -y dk + R (dW + dB),           y_0 ~ N(0, R R^T), independent of all else

for a constant Gaussian covariance, `p_2(y) = (y^2 - 1)/sqrt(2)` and one and the same W. Then
`int Cov(p_2(y_i), p_2(y_j)) dk = (R R^T)_ij^2`, the covariance of the square, and the third cumulant per step of two
linear and one quadratic part is `sqrt(2) c_1 c_1 c_2 (R R^T)(R R^T)`: both as in one step of the optimizer.

Source: re-derived (new): the published orders hold for the first two moments of a step only.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Flat, Key, Matrix, Scalar, Slots, Vector
from driftax.chain import Chain
from driftax.compiler.step_moments import step_moments
from driftax.equation._value import ModifiedEquation, Record
from driftax.equation.describe import as_latex_lines as latex_lines_of_natural
from driftax.equation.factor import step_noise
from driftax.equation.published import PublishedEquation
from driftax.noise import GaussianNoise
from driftax.optimizer import Adam, RMSprop
from driftax.regime import Regime

NAME = "derived-2-extended"  # among the models of a study
_NODES = 3  # quadrature nodes of the quadratic channel: exact to the order of the equation


class ExtendedEquation(eqx.Module):
    """`dz = [b(z) + c_2(z) p_2(y)] dk + S(z) R dW`, `dy = -y dk + R (dW + dB)` in step time k.

    The state has one more slot than the optimizer's: y, in units of the gradient noise's standard deviation.

    Args:
        natural: the order-2 equation on the optimizer's own state, whose drift and linear noise are used.
    """

    natural: ModifiedEquation | PublishedEquation

    @property
    def chain(self) -> Chain:
        return self.natural.chain

    @property
    def weak_order(self) -> int:
        return 2

    @property
    def time_step(self) -> Scalar:
        return self.chain.time_step

    @property
    def record(self) -> Record:
        record = self.natural.record
        return record._replace(
            coordinates=f"{record.coordinates}, and one coloured noise per parameter",
            source=f"{record.source}; third moments by the coloured noise",
        )

    def at(self, scale: Scalar) -> "ExtendedEquation":
        """The equation of another rung, `scale` times this one's time step."""
        return ExtendedEquation(self.natural.at(scale))

    def drift(self, t: Scalar, state: Flat) -> Flat:
        """Drift per unit of t of the flat state (z, y)."""
        z, y = self._split(state)
        number = t / self.time_step
        return jnp.concatenate([self.step_drift(number, z, y).reshape(-1), -y]) / self.time_step

    def covariance(self, t: Scalar, state: Flat) -> Matrix:
        """Covariance per unit of t of the flat state (z, y)."""
        z, y = self._split(state)
        number = t / self.time_step

        def noise(normals):
            mine = self.step_noise(number, z, normals[:1])
            coloured = self.correlated(jnp.sum(normals, axis=0))
            return jnp.concatenate([mine.reshape(-1), coloured])

        columns = jax.jacfwd(noise)(jnp.zeros((2, y.size), state.dtype)).reshape(state.size, -1)
        return columns @ columns.T / self.time_step

    def step_drift(self, number: Scalar, z: Slots, y: Vector) -> Slots:
        """Drift of the optimizer's own slots per step."""
        number = jnp.asarray(number, dtype=z.dtype)
        smooth = self.natural.step_drift(number, z.reshape(-1)).reshape(z.shape)
        return smooth + self._quadratic(number, z) * square_noise(y)[None, :]

    def _quadratic(self, number: Scalar, z: Slots) -> Slots:
        """What the square of the gradient noise adds to a step."""
        if isinstance(self.natural, PublishedEquation):
            return self.natural.step_square(number, z)
        return step_moments(self.chain, number, z, _NODES, joint=False).channels[1]

    def step_noise(self, number: Scalar, z: Slots, normals: Float[Array, "1 dim"]) -> Slots:
        """Noise of one whole step of the optimizer's own slots, `S(z) R xi`.

        Args:
            number: the step, may be fractional.
            z: the state [slot, dim].
            normals: standard normals, those of the gradient noise.
        """
        both = jnp.concatenate([normals, jnp.zeros_like(normals)])
        return step_noise(self.natural, number, z, both)

    def start(self, key: Key, dim: int, members: int, dtype) -> Float[Array, "dim member"]:
        """The coloured noise of members at the start, at its stationary law."""
        normals = jax.random.normal(key, (dim, members), dtype)
        return jax.vmap(self.correlated, in_axes=-1, out_axes=-1)(normals)

    def path_of(self, y: Vector, halves: Float[Array, "half channel dim"]) -> Float[Array, "time dim"]:
        """The coloured noise over one step, at the ends of substeps of two halves each; exact in law.

        Args:
            y: at the start of the step.
            halves: standard normals of all half substeps. The first channel is W; the second makes what else
                there is in y, independent of W.
        """
        normals = (halves[0::2, :2] + halves[1::2, :2]) / math.sqrt(2.0)
        dt = 1 / len(normals)
        kept, shared = math.exp(-dt), -math.expm1(-dt) / math.sqrt(dt)
        rest = math.sqrt(-math.expm1(-2 * dt) - shared**2)

        def substep(before, pair):
            after = kept * before + self.correlated(shared * pair[0] + rest * pair[1])
            return after, after

        path = jax.lax.scan(substep, y, normals)[1]
        return jnp.concatenate([y[None], path])

    def correlated(self, normals: Vector) -> Vector:
        """`R normals`: independent standard normals as correlated as the gradient noise."""
        noise = self.chain.noise
        assert isinstance(noise, GaussianNoise)  # checked by `extend`
        return normals if noise.roots is None else noise.roots[0].astype(normals.dtype) @ normals

    def _split(self, state: Flat) -> tuple[Slots, Vector]:
        slots = len(self.chain.slots)
        rows = state.reshape(slots + 1, -1)
        return rows[:slots], rows[slots]


Equation: TypeAlias = ModifiedEquation | PublishedEquation | ExtendedEquation


def square_noise(y: Array) -> Array:
    """The second orthonormal polynomial of a standard normal, `(y^2 - 1) / sqrt(2)`."""
    return (y**2 - 1) / math.sqrt(2.0)


def extend(natural: ModifiedEquation | PublishedEquation, name: str = NAME) -> ExtendedEquation:
    """The equation of weak order 2 on the extended state, from the order-2 equation on the optimizer's own.

    Args:
        natural: as `derive(chain, weak_order=2, allow_obstructed=True)` returns it, or a published one.
        name: among the models of a study, for messages.

    Raises:
        DriftaxError: where the construction is not known to be of order 2, or not needed.

    Example:
        >>> from driftax import Chain, GaussianNoise, Quadratic, Regime, RMSprop, derive
        >>> chain = Chain(Quadratic([[1.0]]), GaussianNoise(8.0), RMSprop(0.25, 0.97), Regime.BATCH_EQUIVALENT)
        >>> extend(derive(chain, weak_order=2)).weak_order
        2
    """
    stochastic = isinstance(natural, PublishedEquation) or natural.stochastic
    if natural.weak_order != 2 or not stochastic:
        raise DriftaxError(
            "`extend(equation)`",
            f"an equation of weak order {natural.weak_order}" + ("" if stochastic else " without noise"),
            "extend(derive(chain, weak_order=2))",
        )
    reason = why_not(natural.chain)
    if reason is not None:
        raise DriftaxError(f'models = ["{name}"]', *reason)
    return ExtendedEquation(natural)


def why_not(chain: Chain) -> tuple[str, str] | None:
    """What stands against the extended equation of a chain and what to write instead; None if nothing does."""
    optimizer, noise = chain.optimizer, chain.noise
    if chain.regime is not Regime.BATCH_EQUIVALENT:
        return (
            f"the {chain.regime.value} regime, where the equation on the optimizer's own state is of order 2",
            'models = ["derived-2"]',
        )
    if not isinstance(optimizer, RMSprop | Adam):
        return (
            f"{optimizer.name}: the extended state is worked out for driftax's own RMSprop and Adam",
            'models = ["derived-1"], or ["derived-2"] where it is not refused',
        )
    if not isinstance(noise, GaussianNoise):
        return (
            f"{type(noise).__name__}: third and fourth cumulants of the gradient are not those of a Gaussian law",
            'models = ["derived-1"], or name = "gaussian" in [noise]',
        )
    if not noise.constant:
        return (
            "a covariance that moves with the params, for which a delayed equation of order 2 is known for one "
            "parameter and affine coefficients of SGD only",
            'models = ["derived-1"], or a constant covariance',
        )
    if chain.log_second_moments:
        return "logarithms of second moments as coordinates", 'coordinates = "natural"'
    return None


# --- in formulas ---------------------------------------------------------------------------------------------

_COLOURED = (
    ("Extended", r"\text{in place of the noise of its own: } V_t \text{ is driven by the square of } y_t"),
    ("Equation", r"dy_t = -\frac{1}{h}\,y_t\,dt + \frac{1}{\sqrt{h}}\,\Sigma^{1/2}\,(dW_t + dB_t)"),
)
_KEPT = ("Update", "Numbers", "Gradient", "Clock", "Ladder", "One step", "Generator", "Drift")


def as_latex_lines(equation: Equation) -> list[tuple[str, str]]:
    """Label and LaTeX of every line, for the equation on either state."""
    if not isinstance(equation, ExtendedEquation):
        return latex_lines_of_natural(equation)
    own = latex_lines_of_natural(equation.natural)
    if isinstance(equation.natural, PublishedEquation):
        return [*own, *_COLOURED]
    moving = any(r"\partial_k" in line or r"\partial_t" in line for _, line in own)
    at, along = (r"(t, Z_t)", r"(\partial_k + m\cdot\nabla)") if moving else (r"(Z_t)", r"(m\cdot\nabla)")
    law = r"R R^{\top} = \operatorname{Corr}[\zeta_k],\quad s_i^2 = \operatorname{Var}[\zeta_{k,i}]"
    lines = []
    for label, line in own:
        if label in _KEPT:
            lines.append((label, line))
        elif label == "State":
            lines.append((label, rf"{line},\quad y \in \mathbb{{R}}^d"))
        elif label == "Equation":
            lines += [
                (
                    "Channels",
                    rf"c_1 = \mathbb{{E}}[D\,\zeta/s],\quad c_2 = \mathbb{{E}}[D\,p(\zeta/s)],\quad {law}",
                ),
                ("Channels", r"p(y) = (y^2 - 1)/\sqrt{2}\ \text{(elementwise)}"),
                ("Equation", rf"dZ_t = [b{at} + \frac{{1}}{{h}}\,c_2{at}\,p(y_t)]\,dt + \sigma{at}\,R\,dW_t"),
                ("Equation", r"dy_t = -\frac{1}{h}\,y_t\,dt + \frac{1}{\sqrt{h}}\,R\,(dW_t + dB_t)"),
                ("Start", r"y_0 \sim \mathcal{N}(0,\,R R^{\top})\ \text{independent of } Z_0, W, B"),
            ]
        elif label == "Covariance":
            square = rf"c_1 - \tfrac{{1}}{{2}}\,J c_1 - \tfrac{{1}}{{2}}\,{along}\,c_1"
            lines.append(
                ("Noise", rf"\sigma = \frac{{{square}}}{{\sqrt{{h}}}},\quad J = \partial m/\partial z")
            )
        elif label == "Claim":
            lines.append((label, r"\mathbb{E} f(Z_{kh}) - \mathbb{E} f(z_k) = O(h^2)"))
    return lines


def title(equation: Equation) -> str:
    """One line that tells this equation from its siblings."""
    from driftax.equation.describe import title as title_of_natural

    if not isinstance(equation, ExtendedEquation):
        return title_of_natural(equation)
    return f"{title(equation.natural)}, on an extended state"


def record_rows(equation: Equation) -> list[tuple[str, str]]:
    """Where the equation comes from, as label and value."""
    return [(name.replace("_", " "), str(value)) for name, value in equation.record._asdict().items()]


def obstruction_sentence(equation: Equation) -> str | None:
    """What third and fourth moments of one step mean for the claimed order; None where it was not computed."""
    from driftax.equation.describe import obstruction_sentence as sentence_of_natural

    if not isinstance(equation, ExtendedEquation):
        return sentence_of_natural(equation)
    return (
        "The third-order moments of one step, out of reach of every equation on the optimizer's own state, come "
        "from the coloured noise y: order 2 exists on the extended state."
    )

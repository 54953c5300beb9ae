"""Shape vocabulary shared by every module.

`dim` is the number of parameters, `slot` counts the vectors a state is made of (params, mu, nu),
`node` a quadrature node, `channel` an independent source of noise.
"""

from __future__ import annotations

from typing import TypeAlias

from jaxtyping import Array, Float, PRNGKeyArray

Scalar: TypeAlias = Float[Array, ""] | float | int
Vector: TypeAlias = Float[Array, " dim"]
Slots: TypeAlias = Float[Array, "slot dim"]
Flat: TypeAlias = Float[Array, " state"]
Matrix: TypeAlias = Float[Array, "state state"]
Key: TypeAlias = PRNGKeyArray

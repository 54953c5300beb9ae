"""Learning rate, betas, eps and weight decay for another batch size: the rules there are, and where each holds."""

from driftax.scaling.ramp import Stage, ramp
from driftax.scaling.rules import RULES
from driftax.scaling.scale import scale
from driftax.scaling.scaled import Scaled
from driftax.scaling.settings import Settings

__all__ = ["RULES", "Scaled", "Settings", "Stage", "ramp", "scale"]

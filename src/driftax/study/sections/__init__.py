"""The sections of a study file as frozen values: their keys, types and ranges, and what each builds.

What sections must be to each other is checked in `driftax.study.check`.
"""

from driftax.study.sections.compare import CompareSection as CompareSection
from driftax.study.sections.compare import RegimeSection as RegimeSection
from driftax.study.sections.compare import StartSection as StartSection
from driftax.study.sections.noise import LAWS as LAWS
from driftax.study.sections.noise import NOISES as NOISES
from driftax.study.sections.noise import NoiseSection as NoiseSection
from driftax.study.sections.objective import OBJECTIVES as OBJECTIVES
from driftax.study.sections.objective import ObjectiveSection as ObjectiveSection
from driftax.study.sections.optimizer import OPTIMIZERS as OPTIMIZERS
from driftax.study.sections.optimizer import OptaxSection as OptaxSection
from driftax.study.sections.optimizer import OptimizerSection as OptimizerSection
from driftax.study.sections.schedule import SCHEDULE as SCHEDULE
from driftax.study.sections.schedule import SCHEDULES as SCHEDULES
from driftax.study.sections.values import LIST as LIST
from driftax.study.sections.values import Section as Section

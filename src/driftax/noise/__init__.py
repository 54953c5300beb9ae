"""The law of one stochastic gradient: its quadratures, covariances and samples."""

from driftax.noise._base import AbstractContinuousNoise as AbstractContinuousNoise
from driftax.noise._base import AbstractDraws as AbstractDraws
from driftax.noise._base import AbstractGradientNoise as AbstractGradientNoise
from driftax.noise._base import AbstractSampledNoise as AbstractSampledNoise
from driftax.noise.empirical import EmpiricalNoise as EmpiricalNoise
from driftax.noise.gaussian import GaussianNoise as GaussianNoise
from driftax.noise.label import LabelNoise as LabelNoise
from driftax.noise.linear_regression import LinearRegressionNoise as LinearRegressionNoise
from driftax.noise.minibatch import MinibatchNoise as MinibatchNoise
from driftax.noise.mixture import GaussianMixture as GaussianMixture
from driftax.noise.rule import CoordinateRule as CoordinateRule
from driftax.noise.rule import JointRule as JointRule
from driftax.noise.rule import pair_rule as pair_rule
from driftax.noise.sign import SignMoments as SignMoments
from driftax.noise.sign import sign_moments as sign_moments
from driftax.noise.skewed import SkewedNoise as SkewedNoise
from driftax.noise.student_t import StudentT as StudentT
from driftax.noise.twice_drawn import TwiceDrawn as TwiceDrawn
from driftax.noise.workers import Message as Message
from driftax.noise.workers import WorkersNoise as WorkersNoise

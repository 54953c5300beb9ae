"""The law of one stochastic gradient: its quadratures, covariances and samples."""

from driftax.noise._base import AbstractContinuousNoise as AbstractContinuousNoise
from driftax.noise._base import AbstractGradientNoise as AbstractGradientNoise
from driftax.noise.gaussian import GaussianNoise as GaussianNoise
from driftax.noise.minibatch import MinibatchNoise as MinibatchNoise
from driftax.noise.rule import CoordinateRule as CoordinateRule
from driftax.noise.rule import JointRule as JointRule
from driftax.noise.rule import pair_rule as pair_rule
from driftax.noise.sign import SignMoments as SignMoments
from driftax.noise.sign import sign_moments as sign_moments

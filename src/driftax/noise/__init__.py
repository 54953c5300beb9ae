"""The law of one stochastic gradient: its quadratures, covariances and samples."""

from driftax.noise._base import AbstractGradientNoise as AbstractGradientNoise
from driftax.noise._base import SignMoments as SignMoments
from driftax.noise.gaussian import GaussianNoise as GaussianNoise
from driftax.noise.minibatch import MinibatchNoise as MinibatchNoise
from driftax.noise.rule import CoordinateRule as CoordinateRule
from driftax.noise.rule import pair_rule as pair_rule

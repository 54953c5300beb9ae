"""[noise]: the law of one stochastic gradient at rung 1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from driftax.noise import (
    AbstractContinuousNoise,
    AbstractGradientNoise,
    AbstractSampledNoise,
    EmpiricalNoise,
    GaussianMixture,
    GaussianNoise,
    LabelNoise,
    LinearRegressionNoise,
    Message,
    MinibatchNoise,
    SkewedNoise,
    StudentT,
    TwiceDrawn,
    WorkersNoise,
)
from driftax.study.sections.values import (
    _ENTRIES,
    AtLeastOne,
    Covariance,
    Entries,
    Flag,
    NonNegative,
    Number,
    Positive,
    Scales,
    Section,
)


class GaussianSection(Section):
    """Gaussian gradient noise; `covariance + loss * covariance_per_loss` is that of one gradient at rung 1."""

    name: Literal["gaussian"]
    covariance: Covariance
    covariance_per_loss: Covariance | None = Field(
        None, description="a variance, a list of variances, or a symmetric matrix, as `covariance` is"
    )

    def build(self) -> AbstractGradientNoise:
        return GaussianNoise(self.covariance, per_loss=self.covariance_per_loss)


class StudentTSection(Section):
    """Student-t gradient noise of independent coordinates; `scale` is that of one stochastic gradient at rung 1."""

    name: Literal["student_t"]
    scale: Scales
    dof: Positive

    def build(self) -> AbstractGradientNoise:
        return StudentT(self.scale, self.dof)


class SkewedSection(Section):
    """Shifted lognormal gradient noise of independent coordinates, with this variance and skewness."""

    name: Literal["skewed"]
    variance: Scales
    skewness: Number

    def build(self) -> AbstractGradientNoise:
        return SkewedNoise(self.variance, self.skewness)


class MixtureSection(Section):
    """A centred mixture of Gaussians, independent coordinates; means are 0 where left out."""

    name: Literal["mixture"]
    weights: Entries
    deviations: Entries
    means: Entries | None = Field(None, description=_ENTRIES)
    scale: Scales = 1.0

    def build(self) -> AbstractGradientNoise:
        return GaussianMixture(self.weights, self.means, self.deviations, self.scale)


class PickedSection(Section):
    """A law that picks from finitely many vectors.

    With `svag` the batch-equivalent ladder keeps the batch: noise grows through two draws per step instead.
    """

    batch_size: AtLeastOne
    replacement: Flag = True
    svag: Flag = False

    def build(self) -> AbstractGradientNoise:
        law = self.once()
        return TwiceDrawn(law) if self.svag else law

    def once(self) -> AbstractSampledNoise:
        """The law of one draw."""
        raise NotImplementedError


class EmpiricalSection(PickedSection):
    """Recorded gradients: the mean of `batch_size` of them is drawn afresh each step, about their mean."""

    name: Literal["empirical"]
    file: Annotated[str, Field(strict=True, description='"gradients.npz", relative to the study file')]
    batch_size: AtLeastOne = 1

    def once(self) -> AbstractSampledNoise:
        return EmpiricalNoise.load(self._folder / self.file, self.batch_size, self.replacement)


class LinearRegressionSection(Section):
    """Linear regression in one pass: fresh Gaussian inputs whose covariance is the hessian, and noisy labels."""

    name: Literal["linear_regression"]
    label_variance: NonNegative
    batch_size: AtLeastOne = 1

    def build(self) -> AbstractGradientNoise:
        return LinearRegressionNoise(self.label_variance, self.batch_size)


class LabelNoiseSection(Section):
    """Fresh Gaussian noise on every label of a finite sum with a squared loss."""

    name: Literal["label_noise"]
    variance: NonNegative

    def build(self) -> AbstractGradientNoise:
        return LabelNoise(self.variance)


class MinibatchSection(PickedSection):
    """The minibatch law of a finite sum, drawn afresh each step."""

    name: Literal["minibatch"]

    def once(self) -> AbstractSampledNoise:
        return MinibatchNoise(self.batch_size, self.replacement)


class WorkersSection(Section):
    """Several workers: the mean of their gradients, of their sparsified gradients (`keep`), or of their signs."""

    name: Literal["workers"]
    workers: AtLeastOne
    law: Annotated[
        GaussianSection | StudentTSection,
        Field(
            description='the law of one worker\'s gradient, such as {name = "gaussian", covariance = 0.25}',
        ),
    ]
    message: Annotated[
        Literal["gradient", "sparse", "sign"], Field(description='"gradient", "sparse" or "sign"')
    ] = "gradient"
    keep: Positive = 1.0

    def build(self) -> AbstractGradientNoise:
        law = self.law.build()
        assert isinstance(law, AbstractContinuousNoise)
        return WorkersNoise(law, self.workers, Message(self.message), self.keep)


NoiseSection = (
    GaussianSection
    | StudentTSection
    | SkewedSection
    | MixtureSection
    | MinibatchSection
    | EmpiricalSection
    | LinearRegressionSection
    | LabelNoiseSection
    | WorkersSection
)
NOISES: dict[str, type[Section]] = {
    "gaussian": GaussianSection,
    "student_t": StudentTSection,
    "skewed": SkewedSection,
    "mixture": MixtureSection,
    "minibatch": MinibatchSection,
    "empirical": EmpiricalSection,
    "linear_regression": LinearRegressionSection,
    "label_noise": LabelNoiseSection,
    "workers": WorkersSection,
}
LAWS: dict[str, type[Section]] = {name: NOISES[name] for name in ("gaussian", "student_t")}  # of one worker

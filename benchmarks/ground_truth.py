"""`python -m benchmarks.ground_truth`: measurements beside the truth, in PyTorch and in JAX.

Every model has a data set of 4,000 examples, whose own gradients and Hessian are the truth. Each repeat draws
64 units without replacement and measures; the table has the bias in standard errors of the mean (within 3 or
so: unbiased), in standard deviations of one measurement and in the standard error that a measurement states (what
it means in practice), and how often the 95 % interval holds the truth.

python -m benchmarks.ground_truth                        # 2,000 repeats of everything, about two hours
python -m benchmarks.ground_truth --repeats 200 jax      # some of it
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from driftax.cli.environment import prepare

prepare()  # before JAX is imported

from driftax.measurement._value import Measurement  # noqa: E402
from driftax.measurement.aggregation import aggregation  # noqa: E402
from driftax.measurement.estimates import Estimate, interval_by_inverse, quantile  # noqa: E402
from driftax.measurement.hill import hill  # noqa: E402
from driftax.measurement.standardised import standardised  # noqa: E402
from driftax.predict.phases import phase_of  # noqa: E402

DATA, UNITS, BATCH, FEATURES, CLASSES = 4000, 64, 16, 8, 3


Row = tuple[float, float, float, float]  # value, interval, standard error


class Model(NamedTuple):
    """A model with its data, in both frameworks."""

    params: np.ndarray
    examples: tuple[np.ndarray, ...]
    torch_loss: Callable[[Any, Any], Any]
    jax_loss: Callable[[Any, Any], Any]


def location(spread: bool) -> Model:
    """0.5 |x - row|^2 over Gaussian rows: Gaussian gradients, the Hessian 1, and signals in every phase.

    The signals have four values next to the thresholds of the phases, or are spread out (a lognormal law).
    """
    random = np.random.default_rng(0)
    dim = 60
    ratio = np.repeat([0.0, 0.5, 1.25, 2.5], dim // 4)
    if spread:
        ratio = np.exp(stats.norm.ppf((np.arange(dim) + 0.5) / dim) - 0.5)
    rows = random.normal(size=(DATA, dim))
    params = rows.mean(axis=0) + ratio * np.sqrt(2 / BATCH) * rows.std(axis=0)
    return Model(
        params,
        (rows,),
        lambda model, batch: 0.5 * ((model.params - batch[0]) ** 2).sum(dim=1).mean(),
        lambda params, example: 0.5 * ((params - example[0]) ** 2).sum(),
    )


def logistic() -> Model:
    """Logistic regression on features of unequal scale."""
    import jax

    random = np.random.default_rng(4)
    inputs = random.normal(size=(DATA, FEATURES)) * np.linspace(0.5, 2.0, FEATURES)
    labels = (inputs @ random.normal(size=FEATURES) / 2 + random.logistic(size=DATA) > 0).astype(float)

    def torch_loss(model: Any, batch: Any) -> Any:
        import torch

        return torch.nn.functional.binary_cross_entropy_with_logits(batch[0] @ model.params, batch[1])

    def jax_loss(params: Any, example: Any) -> Any:
        logit = example[0] @ params
        return jax.nn.softplus(logit) - example[1] * logit

    return Model(0.2 * random.normal(size=FEATURES), (inputs, labels), torch_loss, jax_loss)


def softmax() -> Model:
    """Softmax regression on features of unequal scale."""
    import jax

    random = np.random.default_rng(1)
    inputs = random.normal(size=(DATA, FEATURES)) * np.linspace(0.5, 2.0, FEATURES)
    true = random.normal(size=(FEATURES, CLASSES))
    labels = (inputs @ true + random.gumbel(size=(DATA, CLASSES))).argmax(axis=1)
    params = 0.2 * random.normal(size=FEATURES * CLASSES)

    def torch_loss(model: Any, batch: Any) -> Any:
        import torch

        logits = batch[0] @ model.params.reshape(FEATURES, CLASSES)
        return torch.nn.functional.cross_entropy(logits, batch[1])

    def jax_loss(params: Any, example: Any) -> Any:
        logits = example[0] @ params.reshape(FEATURES, CLASSES)
        return jax.nn.logsumexp(logits) - logits[example[1]]

    return Model(params, (inputs, labels), torch_loss, jax_loss)


CASES: dict[str, tuple[Callable[[], Model], int]] = {  # the model, and the examples in a unit
    "location": (lambda: location(spread=False), 1),
    "location, spread": (lambda: location(spread=True), 1),
    "logistic": (logistic, 1),
    "softmax": (softmax, 1),
    "softmax, units of 4": (softmax, 4),
}


def truth(model: Model) -> dict[str, float]:
    """What is measured, over the whole data set."""
    import jax

    gradients = np.asarray(jax.vmap(jax.grad(model.jax_loss), (None, 0))(model.params, model.examples))
    whole = lambda at: jax.vmap(model.jax_loss, (None, 0))(at, model.examples).mean()
    hessian = np.asarray(jax.hessian(whole)(model.params))
    mean, covariance = gradients.mean(axis=0), np.cov(gradients.T, ddof=0)
    ratio = np.sqrt(BATCH * mean**2 / (2 * np.diag(covariance)))
    shares = [float((phase_of(ratio) == phase).mean()) for phase in (1, 2, 3)]
    scale = preconditioner(model)
    return {
        "gradient_norm_squared": float(mean @ mean),
        "covariance_trace": float(np.trace(covariance)),
        "noise_scale": float(np.trace(covariance) / (mean @ mean)),
        "signal_ratio_squared": float((ratio**2).mean()),
        **{f"phase_share/{phase}": share for phase, share in zip((1, 2, 3), shares, strict=True)},
        "hessian_trace": float(np.trace(hessian)),
        "eigenvalue": float(np.linalg.eigvalsh(hessian)[-1]),
        "preconditioned_eigenvalue": float(np.linalg.eigvalsh(hessian / np.sqrt(np.outer(scale, scale)))[-1]),
        "hessian_covariance_trace": float(np.trace(hessian @ covariance)),
    }


def preconditioner(model: Model) -> np.ndarray:
    """A diagonal P as Adam's would be."""
    return np.linspace(0.1, 1.0, len(model.params))


def in_jax(model: Model, unit: int, repeats: int) -> Iterator[Measurement]:
    """Measurements by `driftax.measure`."""
    import jax.numpy as jnp

    from driftax import measure

    random = np.random.default_rng(2)
    for seed in range(repeats):
        index = random.choice(DATA, UNITS * unit, replace=False)
        examples = tuple(array[index] for array in model.examples)
        yield measure(
            model.jax_loss, jnp.asarray(model.params), examples, unit_size=unit, batch=BATCH, data_size=DATA,
            tails=False, curvature=True, preconditioner=jnp.asarray(preconditioner(model)), seed=seed,
        )  # fmt: skip


def in_torch(model: Model, unit: int, repeats: int) -> Iterator[Measurement]:
    """Measurements by `driftax.torch.NoiseProbe`, with P in the state of an Adam."""
    import torch

    from driftax.torch import NoiseProbe

    torch.set_num_threads(1)

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.params = torch.nn.Parameter(torch.tensor(model.params))

    holder = Holder()
    optimizer = torch.optim.Adam(holder.parameters(), lr=1e-3, betas=(0.9, 0.5), eps=1e-12)
    second = torch.tensor(preconditioner(model) ** 2)
    optimizer.state[holder.params] = {"step": torch.tensor(1000.0), "exp_avg_sq": second}
    data = torch.utils.data.TensorDataset(*(torch.tensor(array) for array in model.examples))
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)
    probe = NoiseProbe(
        holder, model.torch_loss, loader, optimizer=optimizer, units=UNITS, unit=unit, tails=False,
        curvature=True,
    )  # fmt: skip
    for _ in range(repeats):
        yield probe.measure()
        probe.measurements.clear()


def told(found: Measurement, name: str) -> Row:
    """An estimate, its interval and its standard error."""
    quantity, _, phase = name.partition("/")
    place: dict[str, Any] = {"phase": int(phase)} if phase else {}
    if "eigenvalue" in quantity:
        place = {"rank": 0}
    value, error = found.estimate(quantity, **place)
    return value, *found.interval(quantity, **place), error


def study(name: str, framework: str, repeats: int) -> None:
    """Prints the lines of one case."""
    make, unit = CASES[name]
    model = make()
    expected = truth(model)
    run = in_jax if framework == "jax" else in_torch
    begin = time.perf_counter()
    rows: dict[str, list[Row]] = {key: [] for key in expected}
    for found in run(model, unit, repeats):
        for key in expected:
            rows[key].append(told(found, key))
    for key, value in expected.items():
        _line(f"{framework}, {name}", key, value, np.array(rows[key]))
    print(f"  {time.perf_counter() - begin:.0f} s", flush=True)


def tails(repeats: int) -> None:
    """The fits of tails, which take numbers and know no framework."""
    shape = (UNITS, 128)
    random = np.random.default_rng(3)
    laws: dict[float, Callable[[], np.ndarray]] = {
        np.inf: lambda: random.normal(size=shape),
        10.0: lambda: random.standard_t(10, shape),
        5.0: lambda: random.standard_t(5, shape),
        3.0: lambda: random.standard_t(3, shape),
        1.5: lambda: random.standard_t(1.5, shape),
    }
    q = quantile(UNITS)

    def interval(one: Estimate) -> Row:
        value, error = one
        return value, value - q * error, value + q * error, error

    for dof, draw in laws.items():
        fits, hills, verdicts = [], [], {}
        for _ in range(repeats):
            columns = draw() * np.exp(random.normal(size=shape[1]))
            found = aggregation(columns)
            fits.append(interval(found.inverse_dof[0]))
            verdicts[found.verdict.name] = verdicts.get(found.verdict.name, 0) + 1
            if dof < 4:
                far, units = hill(standardised(columns), [0.005])[0]
                hills.append((far.value, *interval_by_inverse(far, UNITS, units), far.standard_error))
        _line(f"Student's law, dof {dof:g}", "inverse_dof", 1 / dof, np.array(fits))
        if hills:
            _line(f"Student's law, dof {dof:g}", "hill (0.5 %)", dof, np.array(hills))
        print(f"  verdicts: {verdicts}", flush=True)


def _line(case: str, key: str, value: float, rows: np.ndarray) -> None:
    values = rows[:, 0]
    known = np.isfinite(values)
    rounding = 1e-9 * abs(value)
    covered = float(((rows[:, 1] <= value + rounding) & (value - rounding <= rows[:, 2])).mean())
    if not known.all():  # ratios are not averaged
        bias = f"{'resolved':>10} {known.mean():8.3f} {'':8}"
    else:
        spread = max(float(values.std(ddof=1)), 1e-300)
        distance = float(values.mean()) - value
        exact = spread < 1e-9 * max(abs(value), 1e-12)
        share = 0.0 if exact else distance / spread
        stated = max(float((rows[:, 3] ** 2).mean()) ** 0.5, 1e-300)
        of_stated = 0.0 if exact else distance / stated
        bias = f"{share * len(values) ** 0.5:+10.2f} {share:+8.3f} {of_stated:+8.3f}"
    error = (max(covered * (1 - covered), 1e-12) / len(rows)) ** 0.5
    print(f"{case:32} {key:28} {value:10.4g} {bias}   {covered:.3f} ({error:.3f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ground_truth")
    parser.add_argument("only", nargs="*", choices=[[], "jax", "torch", "tails"], help="all if left out")
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument(
        "--case", action="append", choices=CASES, help="several times for several; all if left out"
    )
    asked = parser.parse_args()
    print(
        f"{'case':32} {'quantity':28} {'truth':>10} {'bias/mean':>10} {'bias/sd':>8} {'bias/se':>8}   coverage of 95 %"
    )
    for part in asked.only or ("jax", "torch", "tails"):
        if part == "tails":
            tails(asked.repeats)
            continue
        for name in asked.case or CASES:
            study(name, part, asked.repeats)


if __name__ == "__main__":
    main()

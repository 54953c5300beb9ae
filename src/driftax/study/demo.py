"""The main job on real data: AdamW of optax on breast_cancer, with true minibatch noise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from driftax.equation import Certificate, ModifiedEquation, local_order
from driftax.study.experiment import derivation_nodes
from driftax.study.run import experiment_of, run_verify
from driftax.study.spec import load_study
from driftax.study.verification import Progress

STUDY = Path(__file__).with_name("demo.toml")
_CERTIFIED = ("derived-1", "derived-2")
_CERTIFICATE_SHARE = 0.2  # of the progress bar


def run_demo(
    *, seed: int | None = None, members: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Runs the demo's study: the certificate of both orders, then the ensembles along the ladder.

    Args:
        seed: in place of the study's.
        members: per rung, in place of the study's.
        progress: told the fraction done and what is being done.

    Returns:
        The JSON of `driftax verify`, with `certificates` by model.
    """
    study = load_study(STUDY)
    experiment = experiment_of(study, "demo")
    tell = progress or (lambda fraction, message: None)
    tell(0.0, "certificates of one step")

    def certify(model: str) -> Certificate:
        equation = experiment.equation(model, experiment.chain, nodes=derivation_nodes(experiment.chain))
        assert isinstance(equation, ModifiedEquation)  # of the models certified
        return local_order(equation, experiment.look_at, experiment.look_step)

    with ThreadPoolExecutor() as threads:  # compiling is most of the work, and takes one core each
        certificates = dict(zip(_CERTIFIED, threads.map(certify, _CERTIFIED), strict=True))

    def later(fraction: float, message: str) -> None:
        tell(_CERTIFICATE_SHARE + (1 - _CERTIFICATE_SHARE) * fraction, message)

    results = run_verify(study, seed=seed, members=members, progress=later)
    return {**results, "certificates": certificates, "closer": _closer(results)}


def _closer(results: dict[str, Any]) -> list[dict[str, Any]]:
    """How much closer order 2 is than order 1, per observable and rung, and whether beyond its noise.

    `beyond` is the distance between the two absolute errors in standard errors of both.
    """
    rows = {(row["model"], row["observable"]): row["rungs"] for row in results["results"]}
    found = []
    for (model, observable), first in rows.items():
        if model != "derived-1":
            continue
        for one, two in zip(first, rows["derived-2", observable], strict=True):
            noise = (one["standard_error"] ** 2 + two["standard_error"] ** 2) ** 0.5
            gap = abs(one["weak_error"]) - abs(two["weak_error"])
            found.append(
                {
                    "observable": observable,
                    "ladder": one["ladder"],
                    "time_step": one["time_step"],
                    "ratio": abs(one["weak_error"]) / max(abs(two["weak_error"]), two["standard_error"]),
                    "beyond": gap / noise,
                }
            )
    return found

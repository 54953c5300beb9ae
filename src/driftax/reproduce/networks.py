"""Neural networks on real data, tracked by their equations: the question most readers of the papers have."""

from __future__ import annotations

from driftax.compare.distance import FOLLOWS, Distance
from driftax.report.numbers import with_error
from driftax.reproduce import network_studies as studies
from driftax.reproduce._value import Answer, Experiment, Part, Results, Row
from driftax.reproduce.judge import distance, drawn
from driftax.study.divergence import told


def _rows_of(net: studies.Net, run: studies.Run, results: dict) -> list[Row]:
    """How far every model is from the optimizer; the published ones beside each other."""
    size = results["setup"]["objective"].removeprefix("network, ")
    means = results["means"][0]
    about = f"{net.words} ({size}), {run.words}, {means['step'][-1]} steps, {means['members']} members"
    lost = "; ".join(told(results.get("divergence", [])))
    return [_row(f"{about}: {model}", distance(results, model), lost) for model in run.models]


_ANSWERS = {
    "follows": Answer.AGREES,
    "does not follow": Answer.DISAGREES,
    "inconclusive": Answer.INCONCLUSIVE,
}


def _row(words: str, found: Distance, lost: str) -> Row:
    """Whether a model follows; not where members left the domain, which all models are then compared without."""
    ratio = with_error(100 * found.ratio, 100 * found.error)
    measured = f"{ratio} %; {100 * found.doubled:.2g} % by doubling the substeps"
    answer = Answer.INCONCLUSIVE if lost else _ANSWERS[found.answer]
    return Row(words, f"follows (below {100 * FOLLOWS:g} %)", lost or measured, answer)


def _experiment(
    name: str, title: str, source: str, net: studies.Net, runs: tuple[studies.Run, ...]
) -> Experiment:
    def judge(found: Results) -> list[Row]:
        return [row for run in runs for row in _rows_of(net, run, found[run.name])]

    small, full = (
        tuple(Part(run.name, "verify", studies.study(net, run, size)) for run in runs)
        for size in (False, True)
    )
    return Experiment(f"network-{name}", f"{net.words}: {title}", source, small, judge, drawn, full)


_TRACKED = "SignSGD, RMSpropW and AdamW tracked by their equations"
_COMPAGNONI = "compagnoni2025, figure 1 and appendices F.1 to F.7"
_NETWORKS_OF_CALLISTI = "RMSprop and Adam in both regimes"
EXPERIMENTS = (
    _experiment(
        "mlp", _TRACKED, _COMPAGNONI, studies.MLP, studies.tracked((1e-4, 1e-3), (0.9995, 0.99, 0.999))
    ),
    _experiment("cnn", _TRACKED, _COMPAGNONI, studies.CNN, studies.tracked((2e-4, 2e-3))),
    _experiment("transformer", _TRACKED, _COMPAGNONI, studies.TRANSFORMER, studies.tracked((2e-4, 2e-3))),
    _experiment("resnet", _TRACKED, _COMPAGNONI, studies.RESNET, studies.tracked((2e-4, 2e-3))),
    _experiment("text", _TRACKED, "compagnoni2025, on text", studies.TEXT, studies.tracked((2e-4, 2e-3))),
    _experiment(
        "optimizers",
        "other optimizers, laws and schemes",
        "compagnoni2025, appendices F.3 and F.5, and beyond",
        studies.MLP._replace(steps=(300, 1500)),
        studies.others(1e-3),
    ),
    *(
        _experiment(
            f"callisti-{name}",
            _NETWORKS_OF_CALLISTI,
            "callisti2025, neural networks",
            net,
            studies.callisti(*rates),
        )
        for name, net, rates in (
            ("shallow", studies.SHALLOW, (0.01, 0.5, 1.0, 0.5)),
            ("mlp", studies.MLP, (0.001, 5.0, 100.0, 5.0)),
            ("resnet", studies.CALLISTI_RESNET, (0.1, 0.1, 1.0, 0.05)),
        )
    ),
)

from __future__ import annotations

import json
import math
import re
import struct
import sys
from html.parser import HTMLParser

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Chain, DriftaxError, GaussianNoise, Quadratic, RMSprop, derive
from driftax.compiler.obstruction import Obstruction
from driftax.equation.describe import as_latex_lines, obstruction_sentence, record_rows, title
from driftax.report import Certified, Curve, Difference, Equation, Judged, ReportContent, write_report
from driftax.report._matplotlib import figure_png
from driftax.report._plotly import figure_json
from driftax.report.figures import figures, styles
from driftax.report.mathml import mathml
from driftax.report.numbers import interval, order, short, with_error
from driftax.report.page import _script_json

TIME_STEP = 0.04
LADDER = (1.0, 0.5, 0.25, 0.125)
EVIL = "<script>alert('x')</script>"


def simulate_json() -> dict:
    """What `simulate --json` prints, for two observables and three models."""
    step = np.arange(0, 49, 4)
    results = []
    for observable, start, stationary in (("params_sq", 3.25, 0.21), ("loss", 1.6, 0.055)):
        for model, shift in (("optimizer", 0.0), ("derived-1", 0.045), ("derived-2", 0.006)):
            decay = np.exp(-step / 14)
            mean = (start - stationary) * decay + stationary + shift * stationary * (1 - decay) * 4
            spread = 0.9 * np.sqrt(stationary * mean) * (1 - 0.9 * decay)
            results.append(
                {
                    "model": model,
                    "observable": observable,
                    "step": step.tolist(),
                    "mean": mean.tolist(),
                    "standard_error": (spread / 256).tolist(),
                    "members": 65536,
                    "failed": 0,
                }
            )
    return {"results": results}


def verify_json() -> dict:
    """What `verify --json` prints, for two observables and two models."""
    rows = [
        ("derived-1", 1, "params_sq", [8e-2, 4.1e-2, 1.84e-2, 9.34e-3], 3e-4, "consistent"),
        ("derived-2", 2, "params_sq", [1.8e-2, 4.4e-3, 1.09e-3, 2.74e-4], 2e-5, "consistent"),
        ("derived-1", 1, "loss", [-3.1e-2, -1.52e-2, -7.6e-3, -3.81e-3], 1.1e-4, "consistent"),
        ("derived-2", 2, "loss", [6.2e-3, 1.5e-3, 3.7e-4, 7e-5], 4e-5, "inconclusive"),
    ]
    results = []
    for model, claimed, observable, errors, noise, verdict in rows:
        local = [math.log2(a / b) for a, b in zip(errors[:-1], errors[1:], strict=True)]
        half = 1.96 * math.hypot(noise / errors[-1], noise / errors[-2]) / math.log(2)
        results.append(
            {
                "model": model,
                "claimed_order": claimed,
                "observable": observable,
                "rungs": [
                    {"ladder": s, "weak_error": e, "standard_error": noise, "failed": 0}
                    for s, e in zip(LADDER, errors, strict=True)
                ],
                "local_orders": local,
                "order": local[-1],
                "ci95": [local[-1] - half, local[-1] + half] if verdict == "consistent" else [1.02, None],
                "verdict": verdict,
                "reason": "noise: the local order lies between 0.61 and no bound; "
                "about 524,288 members on the two finest rungs would decide it"
                if verdict == "inconclusive"
                else "",
            }
        )
    return {"results": results, "seconds": 41.2, "provenance": {}}


def certificate_json(claimed: int) -> dict:
    """What `local-order --json` prints."""
    h = [TIME_STEP * 0.5**i for i in range(8)]
    monomials = []
    for i, name in enumerate(["params[0]", "nu[0]", "params[0] nu[0]", "params[0]^2", "nu[0]^2", "nu[0]^3"]):
        power = claimed + 1 + (i % 3 > 1)
        residuals = [(0.9 - 0.1 * i) * x**power * (1 + 3 * x) * 10 ** (-i / 2) for x in h]
        local = [math.log2(a / b) for a, b in zip(residuals[:-1], residuals[1:], strict=True)]
        monomials.append({"name": name, "residuals": residuals, "local_orders": local})
    monomials.append({"name": "params[0]^4", "residuals": [0.0] * 8, "local_orders": [None] * 7})
    return {
        "claimed_order": claimed,
        "time_steps": h,
        "monomials": monomials,
        "order": min(m["local_orders"][-1] for m in monomials[:-1]) - 1,
    }


def equation_of(model: str, weak_order: int) -> Equation:
    chain = Chain(
        Quadratic(jnp.array([[1.0, 0.5], [0.5, 1.0]])),
        GaussianNoise(jnp.array([0.3125, 0.25])),
        RMSprop(TIME_STEP, 0.96, 0.1),
    )
    equation = derive(chain, weak_order=weak_order, nodes=7)
    if weak_order == 2:
        found = Obstruction(
            0.0178, 4.2e-4, "d/dnu[0] d/dnu[0] d/dnu[0]", "d/dnu[0] d/dnu[0] d/dnu[0] d/dnu[0]"
        )
        equation = eqx.tree_at(lambda e: e.obstruction, equation, found, is_leaf=lambda leaf: leaf is None)
    return Equation(
        f"{model}: {title(equation)}",
        tuple(as_latex_lines(equation)),
        tuple(record_rows(equation)),
        obstruction_sentence(equation),
    )


@pytest.fixture(scope="module")
def content() -> ReportContent:
    curves = tuple(Curve.from_json(result) for result in simulate_json()["results"])
    truth = {curve.observable: curve for curve in curves if curve.model == "optimizer"}
    return ReportContent(
        title="RMSprop on a correlated quadratic",
        headline="The order-2 equation follows RMSprop to 0.14 % in E |params|² at h = 0.005, with the error "
        "falling as h² as claimed; for the loss the order-2 error is too small to tell from noise.",
        setup=(
            ("optimizer", "RMSprop: learning_rate 0.04, decay 0.96, eps 0.1, updated denominator"),
            ("objective", "quadratic, 2 parameters, hessian [[1, 0.5], [0.5, 1]]"),
            ("gradient law", "Gaussian, covariance diag(0.3125, 0.25)"),
            ("regime", "ballistic: learning_rate s, 1 − decay → s (1 − decay)"),
            ("start", "params [1.5, −1], nu [1, 1]"),
            ("compared", "at t = 1.92 (48 steps at h = 0.04)"),
        ),
        equations=(equation_of("derived-1", 1), equation_of("derived-2", 2)),
        time_step=TIME_STEP,
        curves=curves,
        differences=tuple(
            Difference.between(curve, truth[curve.observable])
            for curve in curves
            if curve.model != "optimizer"
        ),
        judged=tuple(Judged.from_json(result, TIME_STEP) for result in verify_json()["results"]),
        certified=(
            Certified.from_json("derived-1", certificate_json(1)),
            Certified.from_json("derived-2", certificate_json(2)),
        ),
        caveats=(
            "Steps are independent draws: sampling by epochs (reshuffling) is another process.",
            "The certificate was taken at one state; it says nothing about others.",
            "Orders are judged by the two finest rungs of the ladder.",
        ),
        provenance=(
            ("seed", "0"),
            ("driftax", "0.1.0"),
            ("jax", "0.10.2"),
            ("command", "driftax verify rmsprop.toml --seed 0 --budget 5m"),
            ("seconds", "41.2"),
        ),
    )


@pytest.fixture(scope="module")
def written(content, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report"), content)


class _Loads(HTMLParser):
    """Collects what a browser would fetch, and the text outside of scripts."""

    def __init__(self):
        super().__init__()
        self.loads: list[str] = []
        self.scripts = 0
        self.text = ""
        self._inside = False

    def handle_starttag(self, tag, attrs):
        self._inside = tag in ("script", "style")
        self.scripts += tag == "script"
        named = dict(attrs)
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        self.loads += [named[name] for name in ("src", "href", "srcset", "data", "action") if name in named]
        assert not [name for name in named if name.startswith("on")], attrs

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if not self._inside:
            self.text += data


def _parse(page: str) -> _Loads:
    parser = _Loads()
    parser.feed(page)
    return parser


def test_the_page_is_one_file_that_loads_nothing(written):
    page = written.read_text()
    parsed = _parse(page)
    assert all(load.startswith(("data:image/png;base64,", "#")) for load in parsed.loads)
    styles_text = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    assert "@import" not in styles_text and "url(" not in styles_text
    assert "default-src 'none'" in page  # the browser refuses what a mistake would load
    assert page.count("Plotly.react") == 1 and "{{" not in parsed.text
    assert sorted(p.name for p in written.parent.iterdir()) == [
        "figures",
        "report.html",
    ]  # no temporary files


def test_the_page_says_which_equation_how_close_and_how_sure(written, content):
    page = written.read_text()
    text = re.sub(r"\s+", " ", _parse(page).text)
    for said in (
        content.title,
        content.headline,
        "✓ consistent",
        "? inconclusive",
        "order 1.99 95 % [1.78, 2.20]",
        "error 2.7(2)e-4 at h = 0.005",
        "1.84(3)e-2",
        "about 524,288 members",
        "65,536 members",
        "does not limit order 2",
        "sampling by epochs",
        "driftax verify rmsprop.toml",
    ):
        assert said in text, said
    assert page.count("<math ") == page.count("</math>") > 20
    assert "<code>" not in page.split("</main>")[0]  # every formula became MathML


def test_every_figure_is_there_twice(written, content):
    drawn = [figure for found in figures(content).values() for figure in found]
    assert [figure.name for figure in drawn] == [
        "weak-error-params_sq",
        "weak-error-loss",
        "over-time-params_sq",
        "over-time-loss",
        "certificate",
    ]
    assert written.read_text().count('<figure class="chart">') == len(drawn)
    for figure in drawn:
        picture = (written.parent / "figures" / f"{figure.name}.png").read_bytes()
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", picture[16:24])
        assert width > 1000 and height > 600 and len(picture) > 20_000


def test_plotly_accepts_every_figure(content):
    from plotly.graph_objects import Figure as PlotlyFigure

    for found in figures(content).values():
        for figure in found:
            made = figure_json(figure)
            PlotlyFigure(made)
            json.dumps(made, allow_nan=False)


def test_a_model_looks_the_same_in_every_figure(content):
    style = styles(content.models)
    assert style == {"optimizer": 0, "derived-1": 1, "derived-2": 2}
    for found in figures(content).values():
        for figure in found:
            for panel in figure.panels:
                assert all(line.style == style[line.label.split(":")[0]] for line in panel.lines)
    many = styles([f"model-{i}" for i in range(20)])
    assert 0 not in many.values() and max(many.values()) == 7


def test_weak_errors_are_drawn_with_their_uncertainty_and_guides(content):
    figure = figures(content)["errors"][1]
    panel = figure.panels[0]
    first, second = panel.lines
    assert first.y[0] == pytest.approx(3.1e-2)  # the absolute value of a negative error
    assert second.hollow == (False, False, False, True)  # 7(4)e-5 is not distinguishable from 0
    assert second.low[3] == panel.y_range[0] > 0
    for guide, slope in zip(panel.guides, (1, 2), strict=True):
        exponent = math.log(guide.y[0] / guide.y[1]) / math.log(guide.x[0] / guide.x[1])
        assert exponent == pytest.approx(slope)


def test_a_change_of_sign_breaks_the_line():
    row = {**verify_json()["results"][0]}
    row["rungs"] = [
        {"ladder": s, "weak_error": e, "standard_error": 1e-5, "failed": 0}
        for s, e in zip(LADDER, (-4e-2, -3e-3, 2e-4, 6e-4), strict=True)
    ]
    content = ReportContent("t", "h", judged=(Judged.from_json(row, TIME_STEP),))
    figure = figures(content)["errors"][0]
    line = figure.panels[0].lines[0]
    assert [math.isnan(y) for y in line.y] == [False, False, True, False, False]
    assert 0.01 < line.x[2] < 0.02 and len(figure.ticks) == 4
    assert figure_json(figure)["data"][-1]["y"][2] is None and len(figure_png(figure)) > 20_000


def test_time_and_steps_agree_on_both_axes(content):
    figure = figures(content)["time"][0]
    for position, label in figure.top:
        assert position * TIME_STEP == pytest.approx(float(label))
    assert figure.top[-1][0] <= 48 < figure.top[-1][0] + 0.5 / TIME_STEP


def test_time_counts_from_where_the_optimizer_started():
    """A study that starts after 10 steps of h = 0.1: its step 0 is at t = 1."""
    row = {**simulate_json()["results"][0], "time": [1.0 + 0.1 * step for step in range(0, 49, 4)]}
    figure = figures(ReportContent("t", "h", time_step=0.1, curves=(Curve.from_json(row),)))["time"][0]
    assert figure.top[0] == (pytest.approx(0.0), "1")
    assert figure.top[-1] == (pytest.approx(40.0), "5")


def test_paired_differences_are_taken_as_they_are():
    row = {
        "model": "ode",
        "observable": "loss",
        "ladder": 1.0,
        "step": [1, 2],
        "weak_error": [0.5, None],
        "standard_error": [0.1, 0.1],
    }
    difference = Difference.from_json(row)
    assert difference.mean[0] == 0.5 and math.isnan(difference.mean[1])


def test_what_users_name_is_escaped(tmp_path):
    curve = Curve(EVIL, EVIL, (0.0, 1.0), (1.0, 2.0), (0.1, 0.1), (1.0, 1.0), 4)
    result = {**verify_json()["results"][0], "model": EVIL, "observable": EVIL, "reason": EVIL}
    certificate = certificate_json(1)
    certificate["monomials"][0]["name"] = EVIL
    page = write_report(
        tmp_path,
        ReportContent(
            title=EVIL,
            headline=EVIL,
            setup=((EVIL, EVIL),),
            equations=(Equation(EVIL, ((EVIL, rf"\text{{{EVIL}}}"),), ((EVIL, EVIL),), EVIL),),
            curves=(curve,),
            judged=(Judged.from_json(result, 0.1),),
            certified=(Certified.from_json(EVIL, certificate),),
            caveats=(EVIL,),
            provenance=((EVIL, EVIL),),
        ),
    ).read_text()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") > 15
    assert "&lt;script&gt;" in mathml(rf"\text{{{EVIL}}}") and "<script" not in mathml(rf"\text{{{EVIL}}}")
    assert mathml('\\text{<mtext\tonclick="x">a</mtext>}').startswith("<code>")
    assert _script_json({"name": "</script>&"}) == r'{"name": "\u003c/script\u003e\u0026"}'


def test_what_is_not_known_is_not_invented(tmp_path):
    result = {
        "model": "derived-1",
        "claimed_order": 1,
        "observable": "loss",
        "rungs": [
            {"ladder": 1.0, "weak_error": None, "standard_error": None, "failed": 7},
            {"ladder": 0.5, "weak_error": 0.0, "standard_error": 1e-3, "failed": 0},
        ],
        "local_orders": [None],
        "order": None,
        "ci95": None,
        "verdict": "inconclusive",
    }
    curve = {
        "model": "optimizer",
        "observable": "loss",
        "step": [48],
        "mean": [1.0],
        "standard_error": [0.1],
        "members": 100,
        "failed": 7,
    }
    certificate = {"claimed_order": 1, "time_steps": [0.1], "monomials": [], "order": None}
    content = ReportContent(
        "nothing",
        "nothing is known",
        time_step=0.1,
        curves=(Curve.from_json(curve),),
        judged=(Judged.from_json(result, 0.1),),
        certified=(Certified.from_json("derived-1", certificate),),
    )
    text = _parse(write_report(tmp_path, content).read_text()).text
    assert "order —" in text and "⚠ 7 left the domain" in text and "nan" not in text
    assert content.curves[0].standard_deviation == (pytest.approx(0.1 * math.sqrt(93)),)
    bare = write_report(tmp_path / "bare", ReportContent("bare", "no numbers")).read_text()
    assert "no numbers" in bare and "<section" not in bare and len(bare) < 20_000


def test_many_points_are_drawn_as_bands():
    step = tuple(float(s) for s in range(60))
    wave = tuple(math.sin(s) for s in step)
    flat = (0.1,) * 60
    content = ReportContent("t", "h", curves=(Curve("ode", "a$b", step, wave, flat, flat, 10),))
    figure = figures(content)["time"][0]
    fills = [trace for trace in figure_json(figure)["data"] if trace.get("fill") == "toself"]
    assert len(fills) == 2 and len(figure_png(figure)) > 20_000


@pytest.mark.parametrize("module", ["plotly", "latex2mathml"])
def test_a_missing_extra_is_named(monkeypatch, tmp_path, content, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DriftaxError) as caught:
        write_report(tmp_path, content)
    assert caught.value.asked == "a report"
    assert module in caught.value.found
    assert caught.value.instead == 'pip install "driftax[report]"'
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_page(monkeypatch, tmp_path):
    page = write_report(tmp_path, ReportContent("old", "old"))

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("driftax.report.page.os.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_report(tmp_path, ReportContent("new", "new"))
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert "<h1>old</h1>" in page.read_text()


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (1.234e-3, 4e-5, "1.23(4)e-3"),
        (9.34e-3, 3e-4, "9.3(3)e-3"),
        (1.8e-2, 2e-5, "1.800(2)e-2"),
        (-3.1e-2, 1.1e-4, "-3.100(11)e-2"),
        (0.5, 0.01, "0.500(10)"),
        (12.345, 0.12, "12.35(12)"),
        (1234.0, 56.0, "1.23(6)e3"),
        (1e-4, 3e-3, "0(3)e-3"),
        (0.0, 2e-3, "0(2)e-3"),
        (2.5, 0.0, "2.5"),
        (math.nan, 1.0, "—"),
    ],
)
def test_with_error(value, error, said):
    assert with_error(value, error) == said


def test_orders_and_intervals():
    assert (order(None), order(math.nan), order(1.987)) == ("—", "—", "1.99")
    assert interval((1.0, 2.0)) == "[1.00, 2.00]"
    assert interval((None, 2.0)) == "(−∞, 2.00]" and interval((1.0, math.inf)) == "[1.00, ∞)"
    assert interval(None) == interval((None, None)) == "—"
    assert (short(1e-8), short(0.005), short(math.inf)) == ("1e-8", "0.005", "—")


def test_the_report_is_imported_only_when_used():
    import driftax.report

    assert "write_report" in driftax.report.__all__
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = driftax.report.missing

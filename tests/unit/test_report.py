"""The page: one file that loads nothing, says what is known and nothing else."""

from __future__ import annotations

import math
import re
import struct
import sys
from html.parser import HTMLParser

import pytest

from driftax import DriftaxError
from driftax.report import Certified, Curve, Equation, Judged, ReportContent, write_report
from driftax.report.figures import figures
from driftax.report.mathml import mathml
from driftax.report.page import _script_json
from unit.report_cases import EVIL, certificate_json, study_content, verify_json


@pytest.fixture(scope="module")
def content():
    return study_content()


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


def test_the_report_is_imported_only_when_used():
    import driftax.report

    assert "write_report" in driftax.report.__all__
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = driftax.report.missing

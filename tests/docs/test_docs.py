"""Documentation that runs: examples of docstrings, the README's code, and sources that exist."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import driftax

ROOT = Path(__file__).parents[2]
MODULES = [
    m.name for m in pkgutil.walk_packages(driftax.__path__, "driftax.") if not m.name.endswith("__main__")
]


def module(name):
    if name.startswith("driftax.report"):
        pytest.importorskip("plotly")
    if name.startswith("driftax.torch."):
        pytest.importorskip("torch")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", [name for name in MODULES if ".cli" not in name and ".report" not in name])
def test_examples_of_docstrings(name):
    result = doctest.testmod(module(name))
    assert result.failed == 0


def test_some_docstrings_have_examples():
    finder = doctest.DocTestFinder()
    count = sum(
        bool(test.examples)
        for name in ("driftax.equation.derivation", "driftax.noise.gaussian")
        for test in finder.find(module(name))
    )
    assert count >= 2


def test_code_of_the_readme(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    *_, first, own = capsys.readouterr().out.split()
    assert [float(first), float(own)] == pytest.approx([2, 2], abs=0.02)
    assert list(names["nadamw"].slots) == ["params", "mu", "nu"]


def test_sources_are_in_the_bibliography():
    keys = set(re.findall(r"@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text()))
    named = set()
    for path in (ROOT / "src" / "driftax").rglob("*.py"):
        for source in re.findall(r"Source: (.*)", path.read_text()):
            named |= set(re.findall(r"\b[a-z]+(?:19|20)\d\d\b", source))
    assert named and named <= keys


@pytest.mark.parametrize("folder", ["compiler", "noise"])
def test_mathematics_names_its_source(folder):
    for path in (ROOT / "src" / "driftax" / folder).glob("*.py"):
        text = path.read_text()
        if path.name not in ("__init__.py", "_base.py", "law.py", "rule.py", "gaussian.py"):
            assert "Source:" in text, path.name


def test_every_example_study_is_read():
    from driftax.study.build import build_chain
    from driftax.study.spec import load_study

    studies = sorted((ROOT / "examples").rglob("*.toml"))
    assert len(studies) >= 13
    for path in studies:
        build_chain(load_study(path))

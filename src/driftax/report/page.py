"""A page of one HTML file that needs no network, with its figures as PNG files beside it."""

from __future__ import annotations

import base64
import importlib
import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from driftax._errors import DriftaxError
from driftax.report import numbers
from driftax.report._matplotlib import figure_png
from driftax.report._plotly import figure_json
from driftax.report.figures import Figure
from driftax.report.mathml import mathml

Sections = dict[str, tuple[Figure, ...]]


def write_page(directory: Path, template: str, sections: Sections, values: dict[str, Any]) -> Path:
    """Writes `report.html` and `figures/*.png` into a directory, and returns the path of the page.

    Files appear whole or not at all; the page alone is enough to pass on.

    Args:
        directory: made if it is not there.
        template: the file that extends `base.html`.
        sections: its figures.
        values: what else the template takes; `content` with a title and a headline.

    Raises:
        DriftaxError: if the extra `report` is not installed.
    """
    plotly_js = _plotly_js()
    pictures = {figure.name: figure_png(figure) for found in sections.values() for figure in found}
    page = _render(template, sections, pictures, {**values, "plotly_js": Markup(plotly_js)})
    for name, picture in pictures.items():
        _write(directory / "figures" / f"{name}.png", picture)
    return _write(directory / "report.html", page.encode())


def _plotly_js() -> str:
    """The text of plotly.js; every module of the extra `report` is asked for first."""
    for name in ("plotly", "latex2mathml"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise DriftaxError(
                "a report", f"no {name}: the extra `report` is not installed", 'pip install "driftax[report]"'
            ) from None
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _render(template: str, sections: Sections, pictures: dict[str, bytes], values: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(_text),
    )
    environment.filters |= {
        "math": lambda latex: Markup(mathml(latex)),
        "order": numbers.order,
        "interval": numbers.interval,
        "short": numbers.short,
    }
    shown = {
        figure.name: {
            "figure": figure,
            "picture": base64.b64encode(pictures[figure.name]).decode(),
            "json": _script_json(figure_json(figure)),
        }
        for found in sections.values()
        for figure in found
    }
    return environment.get_template(template).render(
        sections={name: [shown[figure.name] for figure in found] for name, found in sections.items()},
        pictures=bool(pictures),
        css=Markup(_text("style.css")),
        script=Markup(_text("page.js")),
        **values,
    )


def _script_json(value: dict[str, Any]) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _text(name: str) -> str:
    return resources.files("driftax.report").joinpath(name).read_text(encoding="utf-8")


def _write(path: Path, data: bytes) -> Path:
    """Writes a file that is never seen half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path

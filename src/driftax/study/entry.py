"""A user's own function, named by an entry `path/to/file.py:function`.

Loading it runs the file, as `python path/to/file.py` would: only load files you trust. The file's folder is
on the import path meanwhile, and what it prints goes to standard error, where it spoils no JSON. A file is run
once per process, and again after it has changed.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from driftax._errors import DriftaxError
from driftax.study.messages import nearest

_EXAMPLE = 'entry = "path/to/file.py:function"'


def load_entry(entry: str, folder: Path) -> Callable[..., Any]:
    """The function an entry names; a relative path starts from `folder`.

    Raises:
        DriftaxError: if there is no such file or function, the file fails, or what it names is no function.
    """
    asked = f'entry = "{entry}"'
    file, colon, name = entry.rpartition(":")
    if not (colon and file.strip(" .") and "\0" not in file and name.isidentifier()):
        raise DriftaxError(asked, "no file and function with a colon between them", _EXAMPLE)
    path = (folder / file).resolve()
    try:
        source, changed = path.read_bytes(), path.stat().st_mtime_ns
    except OSError as error:
        found = (
            "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        )
        raise DriftaxError(asked, f"{path}: {found}", _near(Path(file), path, name)) from None
    try:
        values = vars(_run(path, changed, source))
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__} in {path}{_line(error, path)}: {' '.join(str(error).split())[:160]}"
        raise DriftaxError(asked, found, f"a file that runs by itself: python {path}") from error
    if name not in values:
        own = [
            key
            for key, value in values.items()
            if callable(value) and getattr(value, "__module__", None) == values["__name__"]
        ]
        instead = nearest(name, own, f'entry = "{file}:{{}}"') if own else f"def {name}(params): in {file}"
        raise DriftaxError(asked, f"no {name} in {path}", instead)
    if not callable(values[name]):
        kind = type(values[name]).__name__
        raise DriftaxError(asked, f"{name} is not a function but a value of type {kind}", _EXAMPLE)
    return values[name]


def _near(file: Path, path: Path, name: str) -> str:
    others = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, others, n=1, cutoff=0.5)
    return f'entry = "{file.with_name(near[0])}:{name}"' if near else _EXAMPLE


@functools.lru_cache(maxsize=64)
def _run(path: Path, changed: int, source: bytes) -> ModuleType:
    name = f"driftax_entry_{path.stem}_{abs(hash((path, changed, source))):x}"
    module = ModuleType(name)
    module.__file__ = str(path)
    linecache.checkcache(str(path))  # tracebacks show the file as it is now
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        with _as_script(path.parent):
            exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _as_script(folder: Path) -> Iterator[None]:
    """The folder on the import path, and standard output turned to standard error."""
    sys.path.insert(0, str(folder))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f", line {lines[-1]}" if lines else ""

"""The `driftax` command: it parses, runs one verb and turns errors into exit codes.

Exit codes: 0 done (verify: consistent), 1 verify refuted, 2 bad input, 3 verify inconclusive,
70 a bug of driftax, 130 interrupted, 141 nobody reads the output.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from driftax import __version__
from driftax._errors import DriftaxError

REFUTED, BAD_INPUT, INCONCLUSIVE, BUG, INTERRUPTED, UNREAD = 1, 2, 3, 70, 130, 141

_COMMANDS = {
    "demo": "The main job on real data in about a minute, with a report.",
    "local-order": "The deterministic one-step certificate of an equation's order, no Monte Carlo.",
    "derive": "The modified equation: text, LaTeX, or drift and covariance at a state.",
    "simulate": "Optimizer and equations side by side, as ensembles.",
    "verify": "Weak order along a ladder: exit 0 consistent, 1 refuted, 3 inconclusive.",
    "reproduce": "The papers' experiments, with our numbers beside the paper's.",
    "measure": "Gradient noise, noise scale, tails, signal-to-noise and curvature of a model of your own.",
    "predict": "Stationary loss, phases, time scales, bounds and tails in closed form, each with its validity.",
    "limits": "The limiting dynamics of scaling exponents, or of a configuration, with the phase diagram.",
    "scale": "New learning rate, betas, eps and weight decay when the batch size changes.",
    "data": "The data sets, where they are on this machine, and how to bring one there.",
    "doctor": "Versions, devices, precision and cores: a table to paste into an issue.",
}

app = App(
    name="driftax",
    help="Compile stochastic optimizers into stochastic differential equations, and verify them.",
    version=__version__,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
for _place, (_name, _help) in enumerate(_COMMANDS.items()):
    _module = _name.replace("-", "_")
    app.command(f"driftax.cli.{_module}:{_module}", name=_name, help=_help, sort_key=_place)
app.register_install_completion_command(help="Install completion for your shell.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code.

    Args:
        arguments: the words after `driftax`; those of the process if left out.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = UNREAD
    if code == INTERRUPTED and arguments is None:
        os._exit(code)  # threads of JAX may still compute: an orderly exit would wait for them or crash
    return code


def _run(words: list[str]) -> int:
    try:
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        verb = f"driftax {words[0]}" if words and words[0] in _COMMANDS else "driftax"
        message = " ".join(str(error).split())
        return _refuse(DriftaxError(shlex.join(["driftax", *words]), message, f"{verb} --help"), words)
    except DriftaxError as error:
        return _refuse(error, words)
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _refuse(DriftaxError(shlex.join(["driftax", *words]), what, "a place that can be used"), words)
    except Exception:
        traceback.print_exc()
        print("This is a bug in driftax: please report it with the lines above.", file=sys.stderr)
        return BUG


def _refuse(error: Exception, words: list[str]) -> int:
    if "--traceback" in words:
        traceback.print_exc()
    print(error, file=sys.stderr)
    return BAD_INPUT

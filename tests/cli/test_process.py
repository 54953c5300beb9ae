"""The command line as a process: speed, exit codes and what it leaves to the shell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

DRIFTAX = [sys.executable, "-m", "driftax"]


def run(*words: str, **keywords) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DRIFTAX, *words], capture_output=True, text=True, timeout=60, **keywords)


def test_help_lists_the_verbs_and_imports_nothing_heavy():
    """What makes `--help` answer in a fraction of a second; the seconds themselves depend on the machine."""
    answer = run("--help")
    assert answer.returncode == 0
    verbs = ["demo", "local-order", "derive", "simulate", "verify", "limits", "doctor"]
    places = [answer.stdout.index(f" {verb} ") for verb in verbs]
    assert places == sorted(places)
    code = (
        "import sys; from driftax.cli.main import main; main(['--help']); "
        "print(*(set(sys.modules) & {'jax', 'numpy', 'scipy', 'xarray', 'matplotlib', 'torch'}), file=sys.stderr)"
    )
    heavy = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert heavy.stderr.strip() == ""


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from driftax.cli.main import main; main(['verify', '--help']);"
        "print([m for m in ('jax', 'numpy', 'xarray', 'matplotlib', 'pydantic') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert answer.stdout.splitlines()[-1] == "[]", answer.stderr


def test_doctor_and_the_flags_set_before_jax():
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    found = json.loads(run("doctor", "--json", env=environment).stdout)
    assert found["precision"] == "float64"
    assert len(found["devices"]) == found["cores"]
    assert set(found["versions"]) >= {
        "driftax",
        "python",
        "jax",
        "equinox",
        "optax",
        "numpy",
        "scipy",
        "torch",
    }


def test_a_users_device_count_stays():
    flags = "--xla_force_host_platform_device_count=3"
    found = json.loads(run("doctor", "--json", env={**os.environ, "XLA_FLAGS": flags}).stdout)
    assert len(found["devices"]) == 3 and found["xla_flags"] == flags


def test_wrong_input_exits_2_without_a_traceback(tmp_path):
    answer = run("derive", "absent.toml", cwd=tmp_path)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr and answer.stdout == ""


def test_a_closed_pipe_is_no_error():
    program = "import sys; from driftax.cli.main import main; sys.exit(main(['doctor']))"
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert "Traceback" not in process.stderr and "Exception ignored" not in process.stderr
    assert process.returncode == 141


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (RuntimeError("a bug"), 70)])
def test_what_stops_a_command(raised, code, monkeypatch, driftax):
    from driftax.cli import environment

    def stop() -> None:
        raise raised

    monkeypatch.setattr(environment, "cores", stop)
    monkeypatch.setattr("driftax.cli.doctor.cores", stop)
    answer = driftax("doctor")
    assert answer.code == code
    assert answer.err.splitlines()[-1].startswith("interrupted" if code == 130 else "This is a bug")


def test_an_interrupted_run_exits_130_and_says_how_to_go_on(study, tmp_path):
    """Also while JAX computes in threads of its own."""
    words = [*DRIFTAX, "simulate", str(study()), "--members", "1000000000", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/chunks/*/*.zip")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    told = err.splitlines()[-1]
    assert re.fullmatch(
        r"interrupted: \d+ finished chunks are in .*; the same command goes on from there", told
    )


def test_completion_is_offered():
    assert "--install-completion" in run("--help").stdout

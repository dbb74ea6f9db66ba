"""What the scripts that measure speed share: commands, the Python that has torch, the text, medians."""

import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(command: list, cwd: Path | None = None) -> str:
    """The command's standard output; ends the program when it fails."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}")
    return done.stdout


def has_torch(python: Path) -> bool:
    """Whether this interpreter can import torch: the lean wheel set cannot be imported."""
    command = [str(python), "-c", "import torch"]
    return python.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def find_python() -> Path:
    """The active Python if it has torch, else the one in .venv, which gets torch if need be."""
    own = ROOT / ".venv" / "bin" / "python"
    for python in (Path(sys.executable), own):
        if has_torch(python):
            return python
    if subprocess.run([str(ROOT / "scripts" / "setup"), "--python"], stdout=sys.stderr, check=False).returncode != 0:
        sys.exit("scripts/setup --python failed; --python FILE names a Python that has torch")
    return own


def default_text() -> Path:
    full = ROOT / "data" / "timemachine.txt"
    return full if full.exists() else ROOT / "data" / "sample.txt"


def cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def ratios_to(first: list[float], other: list[float]) -> list[float]:
    """The repetitions' ratios."""
    return [ours / theirs for ours, theirs in zip(first, other)]


def summary(values: list[float], digits: int) -> str:
    """Median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def listed(value: str) -> list[str]:
    """`rnn,gru` as a list."""
    return value.split(",")


def numbers(value: str) -> list[int]:
    """`1,2` as a list."""
    return [int(number) for number in value.split(",")]

"""Runs the command for the checks beside it, which end with exit code 1 and a line if something is not as it should be."""

import subprocess
import sys
from typing import Any


def fail_unless(condition: bool, message: str) -> None:
    if not condition:
        sys.exit(f"FAILED: {message}")


def run(*command: Any) -> str:
    """The command's standard output."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=False)
    fail_unless(done.returncode == 0, f"{' '.join(map(str, command))}: exit code {done.returncode}")
    return done.stdout

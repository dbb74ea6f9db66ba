#!/usr/bin/env python3
"""A training under torchrun, which loses a rank: torchrun starts all of them anew, and they go on from the checkpoint.

    python3 tests/golden/torchrun.py --unroll build/release/app/unroll
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SKIPPED = 77
EPOCHS = 150


def train(unroll: Path, *args: str) -> list[str]:
    return [
        str(unroll), "train", "--hidden", "16", "--sampling", "random",
        "--epochs", str(EPOCHS), "--save", "model", "--save-every", "5", "--resume", "auto", "--rank-timeout", "20", "--json", *args,
    ]  # fmt: skip


def ranks_of(launcher: int) -> list[int]:
    """The processes that torchrun has started, by their order."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(child) for child in children if b"--rank-timeout" in Path(f"/proc/{child}/cmdline").read_bytes()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unroll", type=Path, required=True)
    unroll = parser.parse_args().unroll.resolve()
    launcher = Path(sys.executable).parent / "torchrun"
    if not launcher.exists() or subprocess.run([launcher, "--help"], capture_output=True, check=False).returncode != 0:
        print("this Python has no torchrun that starts")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        alone = subprocess.run(train(unroll, "--quiet"), cwd=folder, capture_output=True, check=True)
        expected = json.loads(alone.stdout)
        os.remove(Path(folder, "model"))
        command = [launcher, "--no-python", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1", *train(unroll)]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 120
            while not Path(folder, "model").exists():
                assert process.poll() is None and time.monotonic() < deadline, process.communicate()
                time.sleep(0.02)
            os.kill(ranks_of(process.pid)[-1], signal.SIGKILL)
            stdout, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr
        assert "another rank is gone" in stderr and "the last checkpoint is model, after " in stderr, stderr
        assert "as in the training so far" in stderr, stderr
        result = json.loads(stdout)
        assert result["ranks"] == 2 and result["epochs"] == EPOCHS, result
        difference = abs(result["perplexity"] / expected["perplexity"] - 1)
        assert difference < 0.02, (result["perplexity"], expected["perplexity"])
        print(f"restarted and resumed: perplexity {result['perplexity']:.4f}, of one process {expected['perplexity']:.4f}")


main()

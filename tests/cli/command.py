"""Runs the command for the tests beside it."""

import atexit
import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path

UNROLL = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None

# A training of a second: options that every test may override.
TINY = ["--hidden", "8", "--batch-size", "4", "--num-steps", "10", "--max-tokens", "500", "--epochs", "2"]


def has_gpu() -> bool:
    return "cuda" in subprocess.run([UNROLL, "info"], capture_output=True, text=True, check=True).stdout


def read_to_the_end(terminal: int) -> str:
    """What is written to a pseudo-terminal until the other end is closed; closes this one."""
    shown = b""
    try:
        while more := os.read(terminal, 10000):
            shown += more
    except OSError:  # Linux has no end of file here
        pass
    os.close(terminal)
    return shown.decode()


def has_own_allocator() -> bool:
    """Whether it was built for a sanitizer, whose allocator has its own say on a lack of memory."""
    return b"__asan_init" in UNROLL.read_bytes()


class Server:
    """command_server.cpp: the same command, without 0.4 s to load LibTorch for each call."""

    def __init__(self, program: str) -> None:
        theirs, self.requests = os.pipe()
        self.replies, ours = os.pipe()
        self.folder = tempfile.TemporaryDirectory()
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([program, str(theirs), str(ours)], pass_fds=(theirs, ours), env=env, start_new_session=True)
        os.close(theirs)
        os.close(ours)
        atexit.register(self.end)

    def end(self) -> None:
        os.close(self.requests)
        self.process.wait()
        self.folder.cleanup()

    def run(self, args: list[str], folder: Path, timeout: float) -> subprocess.CompletedProcess:
        files = [Path(self.folder.name) / name for name in ("stdout", "stderr")]
        for file in files:
            file.write_bytes(b"")
        strings = ["/dev/null", *files, folder, *args]
        request = b"%d\n" % len(strings) + b"".join(os.fsencode(string) + b"\0" for string in strings)
        while request:
            request = request[os.write(self.requests, request) :]
        if not select.select([self.replies], [], [], timeout)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            sys.exit(f"still running after {timeout} s: {args}")
        reply = os.read(self.replies, 100)
        if not reply:
            sys.exit(f"the server ended during {args}")
        return subprocess.CompletedProcess(args, os.waitstatus_to_exitcode(int(reply)), *(file.read_bytes() for file in files))


SERVER = Server(os.environ["UNROLL_SERVER"]) if "UNROLL_SERVER" in os.environ else None


class CommandTest(unittest.TestCase):
    """Each test has a folder of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.folder.chmod(0o755)

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def run_unroll(self, *args: object, env: dict[str, str] | None = None, prefix: tuple[str, ...] = (), source: bytes = b""):
        """`source` is what the command finds on its standard input."""
        if SERVER and not (env or prefix or source):
            return SERVER.run(list(map(str, args)), self.folder, timeout=300)
        command = [*prefix, str(UNROLL), *map(str, args)]
        return subprocess.run(
            command, input=source, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}), cwd=self.folder, check=False, timeout=300
        )

    def succeed(self, *args: object, **kwargs) -> str:
        """What a run that must succeed prints."""
        done = self.run_unroll(*args, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout.decode(errors="replace")

    @contextlib.contextmanager
    def running(self, *args: object) -> Iterator[subprocess.Popen]:
        """A run that goes on beside the test, and ends with it."""
        with subprocess.Popen([UNROLL, *map(str, args)], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()

    def wait_for(self, process: subprocess.Popen, what: Callable[[], bool]) -> None:
        """Waits until a run that goes on has done something: two minutes at most."""
        deadline = time.monotonic() + 120
        while not what():
            self.assertIsNone(process.poll(), "it has ended")
            self.assertLess(time.monotonic(), deadline, "it has not done it")
            time.sleep(0.05)

    def train(self, *args: object, **kwargs) -> str:
        return self.succeed("train", "--device", "cpu", *TINY, *args, **kwargs)


def main() -> None:
    if UNROLL is None:
        sys.exit(f"usage: {sys.argv[0]} BINARY [unittest's arguments]")
    unittest.main(module="__main__", verbosity=2)

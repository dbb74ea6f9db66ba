"""Reads what `unroll train --tensorboard` wrote with TensorBoard's own package.

    python read_tensorboard.py --unroll build/app/unroll

Checks every scalar against the log and every sample against what is printed: of a training, of one that was killed and goes on from
its checkpoint, of one that goes on in another folder, and of another one in the same folder.
Exit code: 0 equal, 1 different, 77 (a skip to ctest) when this Python has no tensorboard.
"""

import argparse
import html
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    import numpy
    from tensorboard import plugin_util
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
    from tensorboard.util import tensor_util
except ImportError as error:
    print(f"skipped: tensorboard cannot be imported: {error}")
    sys.exit(77)

from running import fail_unless, run

TAGS = {  # of scalars, by their keys in the log
    "perplexity": "perplexity/train",
    "valid_perplexity": "perplexity/validation",
    "grad_norm": "gradient norm",
    "lr": "learning rate",
    "tokens_per_second": "tokens per second",
    "skipped": "skipped steps",
}

# HTML and Markdown, which must be shown as they are
TEXT = "<script> # *a*\n\n* [b](c) & `d`\n```\n" * 50
PROMPTS = ["<script>", "# "]
TRAINING = ["--text", "text", "--normalize", "none", "--hidden", 16, "--batch-size", 4, "--num-steps", 10, "--lr", 2, "--device", "cpu"]
TRAINING += ["--valid", 0.2, "--valid-every", 2, "--every", 2, "--predict", 30, "--prompt", PROMPTS[0], "--prompt", PROMPTS[1]]


def read(folder: str) -> dict[str, list[tuple[int, Any]]]:
    """Steps and values by tag, as TensorBoard shows them: a restart drops the steps that it repeats."""
    run = plugin_event_accumulator.EventAccumulator(folder, size_guidance={plugin_event_accumulator.TENSORS: 0})
    run.Reload()
    tags = run.Tags()[plugin_event_accumulator.TENSORS]
    plugins = {tag: run.SummaryMetadata(tag).plugin_data.plugin_name for tag in tags}
    expected = {tag: "text" if tag.startswith("sample/") else "scalars" for tag in tags}
    fail_unless(plugins == expected, f"plugins are {plugins}, expected {expected}")
    return {tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in run.Tensors(tag)] for tag in tags}


def read_scalars(folder: str) -> dict[str, list[tuple[int, float]]]:
    """The scalars, as programs read them that do without TensorBoard's server."""
    run = event_accumulator.EventAccumulator(folder, size_guidance={event_accumulator.SCALARS: 0})
    run.Reload()
    return {tag: [(event.step, event.value) for event in run.Scalars(tag)] for tag in run.Tags()[event_accumulator.SCALARS]}


def shown(markdown: bytes) -> str:
    """A text as the text plugin shows it, which must be one block of code."""
    page = plugin_util.markdown_to_safe_html(markdown)
    begin, end = "<pre><code>", "\n</code></pre>"
    fail_unless(page.startswith(begin) and page.endswith(end) and page.count("<") == 4, f"a sample is shown as {page!r}")
    return html.unescape(page[len(begin) : -len(end)])


def check(name: str, folder: str, samples: dict[str, list[tuple[int, str]]]) -> None:
    """Compares a folder with the log, and with samples by tag; white space at a text's end is not shown."""
    epochs = [json.loads(line) for line in Path("log.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = {tag: [(epoch["epoch"], float(numpy.float32(epoch[key]))) for epoch in epochs if key in epoch] for key, tag in TAGS.items()}
    logged = {tag: series for tag, series in logged.items() if series}
    found = read(folder)
    texts = {tag: [(step, shown(text)) for step, text in found.pop(tag)] for tag in list(found) if tag.startswith("sample/")}
    samples = {tag: [(step, text.rstrip()) for step, text in series] for tag, series in samples.items()}
    for scalars in (found, read_scalars(folder)):
        fail_unless(scalars == logged, f"{name}: scalars are {scalars}, the log has {logged}")
    fail_unless(texts == samples, f"{name}: samples are {texts}, printed are {samples}")
    print(f"{name}: {len(epochs)} epochs, {len(logged)} scalars, {sum(map(len, samples.values()))} samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unroll", type=Path, required=True, help="the command")
    unroll = parser.parse_args().unroll.resolve()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        Path("text").write_text(TEXT, encoding="utf-8")
        # Every two epochs the first prompt is continued, and at the end all of them, as a training that ends there prints them.
        printed = {n: json.loads(run(unroll, "train", *TRAINING, "--epochs", n, "--json", "--quiet"))["predictions"] for n in range(1, 6)}

        def samples(first: list[int], second: list[int]) -> dict[str, list[tuple[int, str]]]:
            """By tag, those of each prompt after so many epochs."""
            return {"sample/1": [(n, printed[n][0]) for n in first], "sample/2": [(n, printed[n][1]) for n in second]}

        def train(*options: Any) -> None:
            run(unroll, "train", *options, "--save", "model", "--quiet")

        logs = ["--log", "log.jsonl", "--tensorboard", "runs/one"]
        train(*TRAINING, "--epochs", 3, *logs)
        check("trained", "runs/one", samples([2, 3], [3]))
        train("--resume", "model")
        check("was over", "runs/one", samples([2, 3], [3]))

        shutil.copy("model", "checkpoint")
        train("--resume", "model", "--epochs", 6, "--lr", 1)  # what comes after the checkpoint is of no account
        train("--resume", "checkpoint", "--epochs", 5)
        check("resumed", "runs/one", samples([2, 3, 4, 5], [3, 5]))

        train("--resume", "checkpoint", "--epochs", 4, "--tensorboard", "runs/two")
        check("resumed elsewhere", "runs/two", samples([4], [4]))

        train(*TRAINING, "--epochs", 2, *logs)
        check("begun anew", "runs/one", samples([2], [2]))


if __name__ == "__main__":
    main()

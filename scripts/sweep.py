"""The sweep of scripts/bench_peers: our kernels beside torch::nn's modules, over sizes, batches and threads.

A case is one run of `unroll bench --model concise,fused`, in which both take turns; its ratio is that of the medians of their
epochs, its share of the peak the fused model's. The text is made: words that follow Zipf's law, or their letters. With --inputs
it only says how many steps there are: layers alone read random features.
"""

import argparse
import itertools
import json
import math
import random
import statistics
import tempfile
from pathlib import Path
from string import ascii_lowercase

from measuring import run

STEPS = 35
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
EPOCH_FLOP = 2e10  # a tenth of a second or more, unless that takes very many steps
MOST_STEPS = 200
LETTERS = 28  # tokens of a text of letters: a to z, the space and <unk>
HIDDEN = [64, 128, 256, 512, 1024, 2048]
BATCHES = [1, 8, 32, 128, 512]


def write_words(folder: Path, vocab_size: int, count: int) -> Path:
    """A text of so many words, all of the vocabulary, of which the n-th is 1/n as frequent as the first (Zipf's law)."""
    draw = random.Random(0)
    words = ["".join(letters) for letters in itertools.islice(itertools.product(ascii_lowercase, repeat=4), vocab_size - 1)]
    text = words + draw.choices(words, [1 / (n + 1) for n in range(len(words))], k=count - len(words))
    draw.shuffle(text)
    path = folder / "words.txt"
    path.write_text("\n".join(" ".join(text[n : n + 12]) for n in range(0, len(text), 12)) + "\n")
    return path


def steps_of_epoch(args: argparse.Namespace, vocab_size: int, tokens: int, case: tuple) -> int:
    """As many as make EPOCH_FLOP, or as the text has."""
    cell, hidden, batch_size = case
    others = GATES[cell] * args.inputs if args.inputs > 0 else vocab_size
    flop = 6 * batch_size * STEPS * hidden * (GATES[cell] * hidden * (2 * args.layers - 1) + others)
    return max(1, min(math.ceil(EPOCH_FLOP / flop), tokens // (batch_size * STEPS) - 1, MOST_STEPS))


def measure(args: argparse.Namespace, text: list, vocab_size: int, tokens: int, case: tuple) -> dict:
    cell, hidden, batch_size = case
    steps = steps_of_epoch(args, vocab_size, tokens, case)
    command = [args.unroll, "bench", "--model", "concise,fused", "--cell", cell, "--hidden", hidden, "--layers", args.layers,
               "--inputs", args.inputs, "--batch-size", batch_size, "--num-steps", STEPS, "--threads", ",".join(map(str, args.threads)),
               "--max-tokens", steps * batch_size * STEPS + 1, "--offset", 0, "--repeat", args.repeat, "--device", "cpu",
               "--json", "--quiet", *text]  # fmt: skip
    rows = {(row["model"], row["threads"]): row for row in json.loads(run(command))["rows"]}
    row: dict = {"cell": cell, "hidden": hidden, "batch_size": batch_size, "layers": args.layers, "by_threads": {}}
    for threads in args.threads:
        fused, concise = rows["fused", threads], rows["concise", threads]
        ratio = fused["tokens_per_second"] / concise["tokens_per_second"]
        row["by_threads"][threads] = {"fused": fused["epochs"], "concise": concise["epochs"], "ratio": ratio,
                                      "share_of_peak": fused["share_of_peak"]}  # fmt: skip
    return row


def shown(row: dict) -> str:
    """For each number of threads the ratio and the share of the peak."""
    return ", ".join(f"{one['ratio']:.2f} ({one['share_of_peak']:.0%})" for one in row["by_threads"].values())


def sweep(args: argparse.Namespace) -> list[dict]:
    """Prints one line of a table for each cell and number of units."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        words = max(args.words, 5000)
        tokens = 4 * words + 80_000
        text = ["--text", write_words(Path(folder), words, tokens), "--tokens", "word" if args.words > 0 else "char"]
        vocab_size = args.words or LETTERS
        columns = ["cell", "units", *(f"batch {batch_size}" for batch_size in args.batch_size)]
        print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
        for cell, hidden in itertools.product(args.cell, args.hidden):
            rows += [measure(args, text, vocab_size, tokens, (cell, hidden, batch_size)) for batch_size in args.batch_size]
            line = [cell, f"{hidden:,}", *map(shown, rows[-len(args.batch_size) :])]
            print(f"| {' | '.join(line)} |", flush=True)
    for threads in args.threads:
        ratios = [row["by_threads"][threads]["ratio"] for row in rows]
        print(f"{threads} thread{'s' if threads > 1 else ''}: lowest {min(ratios):.2f}, median {statistics.median(ratios):.2f}")
    return rows

"""Holds `unroll train` to the notebook in Python, live: same seed, same perplexity after every epoch.

    python parity.py --unroll build/app/unroll --text data/timemachine.txt

Exit code: 0 equal, 1 different, 77 (a skip to ctest) when this Python has no torch or the text is absent.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
except Exception as error:  # A wheel without its CUDA libraries raises more than ImportError.
    print(f"skipped: torch cannot be imported: {str(error).splitlines()[0]}")
    sys.exit(77)

import notebook

# Half a unit in the fourth digit of 9.999: four digits, read as strictly as they can be. Threads (1, 2) and the
# code paths of MKL and ATen (AVX2, SSE, compatible) move no cell's perplexity by more than 1.2e-7 in 14 epochs.
RELATIVE_TOLERANCE = 5e-5

EPOCHS = {"gru": 5, "lstm": 5}  # else 14: a cell with gates takes four times as long

TIGHT_CLIP = 0.1  # one more run, with the RNN: at the notebook's 1 nothing is clipped in 14 epochs


def epochs_of(args: argparse.Namespace, cell: str) -> int:
    return args.epochs or EPOCHS.get(cell, 14)


def unroll_perplexities(args: argparse.Namespace, cell: str, clip: float) -> list[float]:
    """The perplexity after each epoch, from the command's log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        command = [args.unroll, "train", "--text", args.text, "--model", args.model, "--cell", cell, "--compute", args.compute]
        command += ["--hidden", args.hidden, "--epochs", epochs_of(args, cell), "--offset", 0, "--seed", args.seed]
        command += ["--clip", clip, "--threads", args.threads, "--device", "cpu", "--json", "--log", log, "--quiet"]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{args.unroll} train --cell {cell}: exit code {done.returncode}")
        perplexities = [json.loads(line)["perplexity"] for line in log.read_text().splitlines()]
    if perplexities[-1:] != [json.loads(done.stdout)["perplexity"]]:
        sys.exit(f"{cell}: the log ends with {perplexities[-1:]}, the result is {done.stdout}")
    return perplexities


def notebook_perplexities(args: argparse.Namespace, cell: str, clip: float) -> list[float]:
    corpus, vocab = notebook.load_corpus_time_machine(args.text, max_tokens=10000)
    train_iter = notebook.SeqDataLoader(corpus, batch_size=32, num_steps=35, offset=0, seed=args.seed)
    net = notebook.make_model(args.model, cell, len(vocab), args.hidden, args.seed)
    return notebook.train_ch8(net, train_iter, lr=1, num_epochs=epochs_of(args, cell), clip=clip).perplexities


def equal(args: argparse.Namespace, cell: str, clip: float) -> bool:
    """Prints both, epoch by epoch; whether they agree."""
    ours, theirs = unroll_perplexities(args, cell, clip), notebook_perplexities(args, cell, clip)
    print(f"{cell}, clip {clip:g}\n{'':5} {'epoch':>5} {'unroll':>16} {'notebook':>16} {'relative':>9}")
    same = len(ours) == len(theirs)
    for epoch, (a, b) in enumerate(zip(ours, theirs), start=1):
        difference = abs(a / b - 1)
        agrees = difference <= RELATIVE_TOLERANCE  # False for NaN
        same = same and agrees
        print(f"{'':5} {epoch:5} {a:16.10f} {b:16.10f} {difference:9.1e}{'' if agrees else '  DIFFERENT'}", flush=True)
    if len(ours) != len(theirs):
        print(f"{'':5} unroll logged {len(ours)} epochs, the notebook {len(theirs)}")
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unroll", type=Path, required=True, help="the command")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--cells", nargs="+", choices=notebook.LAYERS, default=list(notebook.LAYERS))
    parser.add_argument("--model", choices=("scratch", "concise"), default="scratch")
    parser.add_argument("--compute", choices=("plain", "fused"), default="plain")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--epochs", type=int, help="default: 14, but 5 with gates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if not args.text.exists():
        print(f"skipped: {args.text} is not there; scripts/fetch_time_machine gets it")
        sys.exit(77)
    torch.set_num_threads(args.threads)
    print(f"{args.model}, seed {args.seed}, {args.threads} threads, Python's torch {torch.__version__}, ", end="")
    print(f"relative tolerance {RELATIVE_TOLERANCE:g}")
    same = [equal(args, cell, clip) for cell, clip in [*((c, 1) for c in args.cells), ("rnn", TIGHT_CLIP)]]
    print("equal" if all(same) else "DIFFERENT")
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()

"""Reads what `unroll train --save` wrote with Python's safetensors and generates from it in Python.

    python read_checkpoint.py --unroll build/app/unroll --checkpoint FILE [--cell C --hidden H --vocab-size V]
    python read_checkpoint.py --unroll build/app/unroll --text FILE       trains one of each kind first

Checks the metadata and every tensor's name, shape and type, rebuilds the model in Python and compares its
continuation of a prompt with what `unroll generate` prints.
Exit code: 0 equal, 1 different, 77 (a skip to ctest) when this Python has no torch or no safetensors.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    import torch
    from safetensors import safe_open
except Exception as error:  # A wheel without its CUDA libraries raises more than ImportError.
    print(f"skipped: torch or safetensors cannot be imported: {str(error).splitlines()[0]}")
    sys.exit(77)

import notebook
from running import fail_unless, run

TRAINED = [  # (model, cell, further options) of the files that --text makes
    ("scratch", "rnn", []),
    ("scratch", "gru", []),
    ("scratch", "gru", ["--gru-reset", "after"]),
    ("scratch", "lstm", []),
    ("concise", "rnn", []),
    ("concise", "gru", []),
    ("concise", "lstm", ["--layers", "2"]),
    ("fused", "rnn", []),
    ("fused", "gru", ["--gru-reset", "after"]),
    ("fused", "lstm", ["--layers", "2"]),
]

# With the learning rates below far enough for continuations of several words: one weight astray shows.
TRAINING = ["--hidden", 32, "--num-steps", 10, "--epochs", 30, "--offset", 0, "--threads", 1]
LEARNING_RATE = {"scratch": 4, "concise": 3, "fused": 4}


def read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The configuration and the model's tensors by their names without `model.`."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        fail_unless(metadata.get("format") == "unroll", f"metadata format is {metadata.get('format')!r}")
        fail_unless("version" in metadata, "metadata has no version")
        names = [name for name in file.keys() if name.startswith("model.")]
        tensors = {name.removeprefix("model."): file.get_tensor(name) for name in names}
    return json.loads(metadata["config"]), tensors


def rebuild(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[notebook.Model, notebook.Vocab]:
    """The model in Python, once names, shapes and types are what its configuration says."""
    vocab = notebook.Vocab([], reserved=config["vocab"][1:])
    fail_unless(vocab.idx_to_token == config["vocab"], "the vocabulary repeats a token or lacks <unk>")
    cell, hidden, V = config["cell"], config["hidden"], len(vocab)
    concise = config["model"] == "concise"
    if concise:
        layer = notebook.LAYERS[cell](V, hidden, num_layers=config["layers"])
        net = notebook.RNNModel(layer, V)
        expected = {name: tuple(param.shape) for name, param in net.named_parameters()}
    else:
        spec = notebook.CELLS["gru_after" if (cell, config.get("gru_reset")) == ("gru", "after") else cell]
        expected = {name: spec.shape(name, V, hidden) for name in spec.names}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    fail_unless(found == expected, f"tensors are {found}, expected {expected}")
    types = {tensor.dtype for tensor in tensors.values()}
    fail_unless(types == {torch.float32}, f"types are {types}, expected float32")
    if concise:
        net.load_state_dict(tensors)
    else:
        net = notebook.RNNModelScratch(V, hidden, [tensors[name] for name in spec.names], spec)
    return net, vocab


def check(args: argparse.Namespace, path: Path, wanted: dict[str, Any]) -> None:
    """One file against what was wanted and against `unroll generate`."""
    config, tensors = read(path)
    known = config | {"vocab_size": len(config["vocab"])}
    for key, value in wanted.items():
        fail_unless(known[key] == value, f"{key} is {known[key]!r}, expected {value!r}")
    net, vocab = rebuild(config, tensors)
    theirs = notebook.predict_ch8(args.prompt, args.length, net, vocab)
    ours = run(args.unroll, "generate", "--checkpoint", path, "--prompt", args.prompt, "--length", args.length)
    fail_unless(ours == theirs + "\n", f"unroll generates {ours!r}, Python {theirs!r}")
    print(f"{config['model']} {config['cell']} {config['hidden']}: {len(tensors)} tensors, {theirs!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unroll", type=Path, required=True, help="the command")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path)
    source.add_argument("--text", type=Path)
    parser.add_argument("--prompt", default="time traveller")
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--cell", help="expected in --checkpoint")
    parser.add_argument("--hidden", type=int, help="expected in --checkpoint")
    parser.add_argument("--vocab-size", type=int, help="expected in --checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(1)  # as small a model is fastest so
    if args.checkpoint:
        given = {"cell": args.cell, "hidden": args.hidden, "vocab_size": args.vocab_size}
        check(args, args.checkpoint, {key: value for key, value in given.items() if value is not None})
        return
    _, vocab = notebook.load_corpus_time_machine(args.text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for model, cell, options in TRAINED:
            # By that name: the concise model's tensors if it has several layers, else the scratch one's.
            kind = model if model != "fused" else "concise" if "--layers" in options else "scratch"
            command = [args.unroll, "train", "--text", args.text, "--model", model, "--cell", cell, *options]
            command += ["--lr", LEARNING_RATE[model], *TRAINING]
            run(*command, "--device", "cpu", "--quiet", "--save", path)
            check(args, path, {"model": kind, "cell": cell, "hidden": 32, "vocab_size": len(vocab)})


if __name__ == "__main__":
    main()

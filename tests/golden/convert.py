"""Carries models between `unroll convert` and Python's torch, in both directions: the logits must be the same to 1e-5.

    python convert.py --unroll build/app/unroll --logits build/tests/logits

From a checkpoint: torch.nn's layers take the files by load_state_dict as they are, the notebook's functions take the list of
parameters. From Python: a layer and a Linear, in files of their own or in one of a module, become a checkpoint.
Exit code: 0 equal, 1 different, 77 (a skip to ctest) when this Python has no torch or no safetensors.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    import torch
    from safetensors.torch import load_file, save_file
except Exception as error:  # A wheel without its CUDA libraries raises more than ImportError.
    print(f"skipped: torch or safetensors cannot be imported: {str(error).splitlines()[0]}")
    sys.exit(77)

import notebook
from running import fail_unless, run
from torch import Tensor, nn

HIDDEN, STEPS = 24, 12
TOKENS = ["<unk>", " ", *"abcdefghijklmnopqrstuvwxyz"]
LAYERS = {
    "rnn": lambda *args, **more: nn.RNN(*args, **more),
    "rnn-relu": lambda *args, **more: nn.RNN(*args, nonlinearity="relu", **more),
    "gru": lambda *args, **more: nn.GRU(*args, **more),
    "lstm": lambda *args, **more: nn.LSTM(*args, **more),
}
TRAINED = [  # (cell, options of train) whose files are read in Python
    ("rnn", []),
    ("rnn-relu", []),
    ("gru", []),
    ("gru", ["--gru-reset", "after"]),
    ("lstm", []),
    *((cell, ["--model", "concise"]) for cell in LAYERS),
    ("lstm", ["--layers", 2]),
]


class Module(nn.Module):
    """A language model as somebody writes it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.body, self.head = layer, nn.Linear(HIDDEN, len(TOKENS))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(inputs)[0]).flatten(0, 1)


def inputs() -> Tensor:
    """The tokens of logits.cpp as (T,2,V)."""
    tokens = torch.arange(2 * STEPS).remainder(len(TOKENS)).view(2, STEPS)
    return nn.functional.one_hot(tokens.t(), len(TOKENS)).float()


def logits_of_notebook(cell: str, path: Path) -> Tensor:
    """By the notebook's function, with its list of parameters."""
    weights = load_file(path)
    spec = notebook.CELLS["gru_after" if "b_hh" in weights else cell.replace("-", "_")]
    zeros = torch.zeros(2, HIDDEN)
    state = (zeros, zeros) if cell == "lstm" else (zeros,)
    return spec.forward(inputs(), state, [weights[name] for name in spec.names])[0]


def logits_of_torch(cell: str, path: Path, layers: int) -> Tensor:
    """By torch.nn's layers, which take the files as they are."""
    net = Module(LAYERS[cell](len(TOKENS), HIDDEN, num_layers=layers))
    net.body.load_state_dict(load_file(path))
    net.head.load_state_dict(load_file(path.with_suffix(".linear.safetensors")))
    return net(inputs())


class Check:
    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.checkpoint, self.state_dict = folder / "net.safetensors", folder / "state.safetensors"

    def ours(self) -> Tensor:
        run(self.args.logits, self.checkpoint, STEPS, self.folder / "logits.safetensors")
        return load_file(self.folder / "logits.safetensors")["logits"]

    def compare(self, what: str, theirs: Tensor) -> None:
        ours = self.ours()
        largest = (ours - theirs).abs().max().item()
        fail_unless(ours.shape == theirs.shape and largest <= 1e-5, f"{what}: logits differ by {largest}")
        print(f"{what}: {largest:.1e}")

    def convert(self, *options: Any) -> None:
        run(self.args.unroll, "convert", "--state-dict", self.state_dict, *options)

    def to_python(self, cell: str, options: list[Any]) -> None:
        training = ["--hidden", HIDDEN, "--epochs", 3, "--num-steps", 10, "--threads", 1, "--device", "cpu", "--quiet"]
        run(self.args.unroll, "train", "--cell", cell, *options, *training, "--save", self.checkpoint)
        self.convert("--checkpoint", self.checkpoint)
        tokens = json.loads(self.state_dict.with_suffix(".vocab.json").read_text())["vocab"]
        fail_unless(len(tokens) == len(TOKENS) and tokens[:2] == TOKENS[:2], f"the vocabulary is {tokens}")
        what = f"{cell} {' '.join(map(str, options))} to Python"
        if "W_hq" in load_file(self.state_dict):
            self.compare(f"{what}, the notebook's names", logits_of_notebook(cell, self.state_dict))
            if cell == "gru" and "b_hh" not in load_file(self.state_dict):
                return  # which torch.nn does not have
            self.convert("--checkpoint", self.checkpoint, "--names", "torch")
        layers = 2 if "--layers" in options else 1
        self.compare(f"{what}, torch.nn's names", logits_of_torch(cell, self.state_dict, layers))

    def from_python(self, cell: str, layers: int, is_one_file: bool, **more: Any) -> None:
        torch.manual_seed(1)
        net = Module(LAYERS[cell](len(TOKENS), HIDDEN, num_layers=layers, **more))
        output = self.state_dict.with_suffix(".linear.safetensors")
        output.unlink(missing_ok=True)
        if is_one_file:
            save_file(net.state_dict(), self.state_dict)
        else:
            save_file(net.body.state_dict(), self.state_dict)
            save_file(net.head.state_dict(), output)
        vocab = {"tokens": "char", "normalize": "letters", "vocab": TOKENS}
        self.state_dict.with_suffix(".vocab.json").write_text(json.dumps(vocab))
        self.convert("--save", self.checkpoint, *(["--cell", cell] if cell == "rnn-relu" else []))
        self.compare(f"{cell} of {layers} layers from Python", net(inputs()))

    def from_notebook(self, cell: str) -> None:
        torch.manual_seed(1)
        spec = notebook.CELLS[cell]
        params = {name: torch.randn(spec.shape(name, len(TOKENS), HIDDEN)) * 0.3 for name in spec.names}
        save_file(params, self.state_dict)
        self.convert("--save", self.checkpoint)
        self.compare(f"the notebook's {cell} from Python", logits_of_notebook(cell, self.state_dict))

    def pickles_are_refused(self) -> None:
        pickled = self.folder / "net.pt"
        torch.save(nn.GRU(4, 4).state_dict(), pickled)
        command = [self.args.unroll, "convert", "--state-dict", pickled, "--save", self.checkpoint]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        said = done.stderr.strip()
        fail_unless(done.returncode == 1 and "is a pickled file" in said and "save_file" in said, f"of a pickle: {said}")


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unroll", type=Path, required=True, help="the command")
    parser.add_argument("--logits", type=Path, required=True, help="the program of logits.cpp")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        check = Check(args, Path(folder))
        for cell, options in TRAINED:
            check.to_python(cell, options)
        for cell in LAYERS:
            check.from_python(cell, layers=1, is_one_file=False)
            check.from_python(cell, layers=2, is_one_file=True)
        check.from_python("lstm", layers=1, is_one_file=True, bias=False)
        for cell in ("rnn", "gru", "gru_after", "lstm"):
            check.from_notebook(cell)
        check.pickles_are_refused()


if __name__ == "__main__":
    main()

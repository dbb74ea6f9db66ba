"""Writes the golden values beside it (perplexity.json, cells.json, vocab.json) from Python's torch.

perplexity.json  the scratch models' perplexity after each epoch on The Time Machine
cells.json       each cell on small random float64 input: weights, logits, final state, loss, every gradient;
                 a tensor is {"shape": [...], "data": [...]} in row-major order
vocab.json       The Time Machine's vocabulary by character and its sizes
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import notebook

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
V, H, B, T = 7, 5, 3, 4
EPOCHS = 14
TIGHT_CLIP = 0.1  # at 1 nothing is clipped in these epochs: the largest norm of the RNN's gradients is 0.43

# The scratch gates in the order of torch.nn's rows: weight_ih_l0 is (gates*H,V), one block of H rows a gate.
GATES = {"rnn": "h", "rnn_relu": "h", "gru_after": "rzh", "lstm": "ifco"}


def dump(tensor: Tensor) -> dict[str, list]:
    return {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()}


def dump_all(tensors: dict[str, Tensor]) -> dict[str, dict]:
    return {name: dump(tensor) for name, tensor in tensors.items()}


def random_layers(cell: str) -> nn.ModuleDict:
    """A torch.nn reference in float64 with random weights and no bias at zero."""
    options = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
    layer = notebook.LAYERS[cell.split("_")[0]](V, H, **options)
    layers = nn.ModuleDict({"rnn": layer, "linear": nn.Linear(H, V)}).double()
    with torch.no_grad():
        for param in layers.parameters():
            param.normal_(std=0.5)
    return layers


def to_scratch(cell: str, layers: nn.ModuleDict, grad: bool = False) -> dict[str, Tensor]:
    """The torch.nn weights (or their gradients) by the scratch names, in the scratch order."""
    tensors = {n: (p.grad if grad else p).detach() for n, p in layers.named_parameters()}
    blocks = [tensors[f"rnn.{n}_l0"].split(H) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    scratch = {"W_hq": tensors["linear.weight"].T, "b_q": tensors["linear.bias"]}
    for gate, W_x, W_h, b_x, b_h in zip(GATES[cell], *blocks):
        scratch[f"W_x{gate}"], scratch[f"W_h{gate}"] = W_x.T, W_h.T
        if cell == "gru_after" and gate == "h":
            scratch["b_h"], scratch["b_hh"] = b_x, b_h
        else:  # One bias takes the place of two: their sum; each of the two has its gradient.
            scratch[f"b_{gate}"] = b_x if grad else b_x + b_h
    return {name: scratch[name] for name in notebook.CELLS[cell].names}


def cell_values(cell: str) -> dict[str, Any]:
    """One cell's input and everything that comes out of it; torch.nn is the judge wherever it has the cell."""
    reference = random_layers(cell) if cell in GATES else None
    if reference:
        weights = to_scratch(cell, reference)
    else:
        spec = notebook.CELLS[cell]
        weights = {n: torch.randn(spec.shape(n, V, H), dtype=torch.float64) * 0.5 for n in spec.names}
    X, Y = torch.randint(V, (B, T)), torch.randint(V, (B, T))
    state = tuple(torch.randn(B, H, dtype=torch.float64) for _ in range(notebook.CELLS[cell].states))

    params = [weight.clone().requires_grad_() for weight in weights.values()]
    start = tuple(s.clone().requires_grad_() for s in state)
    inputs = F.one_hot(X.T, V).double()
    logits, final = notebook.CELLS[cell].forward(inputs, start, params)
    loss = F.cross_entropy(logits, Y.T.flatten())
    loss.backward()
    grads = {name: param.grad for name, param in zip(weights, params)}
    state_grads = [s.grad for s in start]
    values = {"X": X.tolist(), "Y": Y.tolist(), "state": list(map(dump, state)), "weights": dump_all(weights)}

    if reference:
        layered = [s[None].clone().requires_grad_() for s in state]
        hidden, last = reference["rnn"](inputs, tuple(layered) if len(layered) > 1 else layered[0])
        nn_logits = reference["linear"](hidden.flatten(0, 1))
        nn_loss = F.cross_entropy(nn_logits, Y.T.flatten())
        nn_loss.backward()
        nn_final = [s[0] for s in (last if isinstance(last, tuple) else (last,))]
        nn_grads = to_scratch(cell, reference, grad=True)
        nn_state_grads = [s.grad[0] for s in layered]
        torch.testing.assert_close(
            [logits, loss, list(final), list(grads.values()), state_grads],
            [nn_logits, nn_loss, nn_final, list(nn_grads.values()), nn_state_grads],
            rtol=0,
            atol=1e-12,
        )
        logits, loss, final, grads, state_grads = nn_logits, nn_loss, nn_final, nn_grads, nn_state_grads
        named = [(name.removeprefix("rnn."), param) for name, param in reference.named_parameters()]
        values["nn"] = {
            "weights": dump_all(dict(named)),
            "grads": dump_all({name: param.grad for name, param in named}),
        }
    return values | {
        "logits": dump(logits),
        "final_state": list(map(dump, final)),
        "loss": loss.item(),
        "grads": dump_all(grads),
        "state_grads": list(map(dump, state_grads)),
    }


def perplexity_values(text: Path, threads: int) -> dict[str, Any]:
    """The perplexity after each epoch, by cell, and the settings it depends on."""
    torch.set_num_threads(threads)
    settings = {"hidden": 512, "batch_size": 32, "num_steps": 35, "max_tokens": 10000, "lr": 1, "clip": 1}
    settings |= {"offset": 0, "seed": 0, "epochs": EPOCHS, "threads": threads, "torch": torch.__version__}
    corpus, vocab = notebook.load_corpus_time_machine(text, settings["max_tokens"])

    def perplexities(cell: str, clip: float) -> list[float]:
        net = notebook.make_model("scratch", cell, len(vocab), settings["hidden"], settings["seed"])
        train_iter = notebook.SeqDataLoader(corpus, 32, 35, offset=0, seed=0)
        return notebook.train_ch8(net, train_iter, settings["lr"], EPOCHS, clip=clip).perplexities

    return settings | {
        "perplexity": {cell: perplexities(cell, clip=1) for cell in ("rnn", "gru", "lstm")},
        "clipped": {"clip": TIGHT_CLIP, "rnn": perplexities("rnn", TIGHT_CLIP)},
    }


def vocab_values(text: Path) -> dict[str, Any]:
    """The vocabulary by character in order, and the text's sizes."""
    lines = notebook.read_time_machine(text)
    corpus, vocab = notebook.load_corpus_time_machine(text)
    words, word_vocab = notebook.load_corpus_time_machine(text, token="word")
    return {
        "tokens": vocab.idx_to_token,
        "lines": len(lines),
        "corpus_length": len(corpus),
        "first_indices": corpus[:20],
        "word_corpus_length": len(words),
        "word_vocab_size": len(word_vocab),
    }


def write(name: str, values: dict[str, Any]) -> None:
    """Indented JSON with each list of numbers on one line."""
    text = json.dumps(values, indent=1)
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + re.sub(r",\s+", ", ", m[1]) + "]", text)
    (HERE / name).write_text(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, default=ROOT / "data" / "timemachine.txt")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    cells = {cell: cell_values(cell) for cell in ("rnn", "gru", "gru_after", "lstm", "rnn_relu")}
    write("cells.json", {"V": V, "H": H, "B": B, "T": T, "torch": torch.__version__, "cells": cells})
    write("vocab.json", vocab_values(args.text))
    write("perplexity.json", perplexity_values(args.text, args.threads))


if __name__ == "__main__":
    main()

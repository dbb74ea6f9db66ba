"""The notebook (docs/notebook.md) in Python: the peer whose numbers and speed the C++ library is held to.

Shapes: B batch, T time steps, V vocabulary, H hidden units, L layers.
"""

import argparse
import collections
import json
import math
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]  # RNN, GRU (h,); LSTM (h, c); each (B,H) or (L,B,H)
Params = list[Tensor]
Forward = Callable[[Tensor, State, Params], tuple[Tensor, State]]

PROMPTS = ("time traveller", "traveller")


# Data


def read_time_machine(path: Path) -> list[str]:
    """The text's lines, with each run of other characters than letters as one space, in lower case."""
    with open(path, encoding="utf-8") as file:
        return [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in file]


def tokenize(lines: list[str], token: str = "char") -> list[list[str]]:
    """Each line's tokens: its characters or its words."""
    return [list(line) if token == "char" else line.split() for line in lines]


class Vocab:
    """Tokens by index: <unk>, the reserved ones, then by falling frequency, ties as first seen."""

    def __init__(self, tokens: list[str], min_freq: int = 0, reserved: list[str] | None = None) -> None:
        counts = collections.Counter(tokens).most_common()  # a stable sort: ties stay in order
        frequent = [token for token, count in counts if count >= min_freq]
        self.idx_to_token = list(dict.fromkeys(["<unk>", *(reserved or []), *frequent]))
        self.token_to_idx = {token: index for index, token in enumerate(self.idx_to_token)}

    def __len__(self) -> int:
        return len(self.idx_to_token)

    def __getitem__(self, token: str) -> int:
        return self.token_to_idx.get(token, 0)


def load_corpus_time_machine(path: Path, max_tokens: int = 0, token: str = "char") -> tuple[list[int], Vocab]:
    """The indices of all lines' tokens, cut to max_tokens, and the whole text's vocabulary."""
    tokens = [token for line in tokenize(read_time_machine(path), token) for token in line]
    vocab = Vocab(tokens)
    return [vocab[token] for token in (tokens[:max_tokens] if max_tokens > 0 else tokens)], vocab


class SeqDataLoader:
    """Batches (X, Y), both (B,T), whose rows continue from one batch to the next; Y is X moved by one."""

    def __init__(
        self, corpus: list[int], batch_size: int, num_steps: int, offset: int | None, seed: int
    ) -> None:
        self.corpus, self.batch_size, self.num_steps = torch.tensor(corpus), batch_size, num_steps
        self.offset, self.rng = offset, random.Random(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        B, T = self.batch_size, self.num_steps
        offset = self.rng.randint(0, T) if self.offset is None else self.offset
        n = (len(self.corpus) - offset - 1) // B * B
        Xs = self.corpus[offset : offset + n].reshape(B, -1)
        Ys = self.corpus[offset + 1 : offset + 1 + n].reshape(B, -1)
        for start in range(0, Xs.shape[1] // T * T, T):
            yield Xs[:, start : start + T], Ys[:, start : start + T]


# Scratch cells: inputs (T,B,V) -> logits (T*B,V) and the last state


def rnn(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """h_t = tanh(x_t W_xh + h_{t-1} W_hh + b_h)."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = torch.tanh(X @ W_xh + H @ W_hh + b_h)
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H,)


def rnn_relu(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """h_t = max(0, x_t W_xh + h_{t-1} W_hh + b_h)."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = torch.relu(X @ W_xh + H @ W_hh + b_h)
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H,)


def gru(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """A GRU whose reset gate meets h before the matrix product."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
        C = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
        H = Z * H + (1 - Z) * C
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H,)


def gru_after(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """A GRU whose reset gate meets h after the matrix product, as torch.nn.GRU's does."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, b_hh, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
        C = torch.tanh(X @ W_xh + b_h + R * (H @ W_hh + b_hh))
        H = Z * H + (1 - Z) * C
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H,)


def lstm(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """An LSTM with input, forget and output gates and a candidate cell."""
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q = params
    H, C = state
    outputs = []
    for X in inputs:
        I = torch.sigmoid(X @ W_xi + H @ W_hi + b_i)  # noqa: E741
        F_ = torch.sigmoid(X @ W_xf + H @ W_hf + b_f)
        O = torch.sigmoid(X @ W_xo + H @ W_ho + b_o)  # noqa: E741
        G = torch.tanh(X @ W_xc + H @ W_hc + b_c)
        C = F_ * C + I * G
        H = O * torch.tanh(C)
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H, C)


@dataclass(frozen=True)
class Cell:
    """A scratch cell: its formula, its parameters' names in order, its number of state tensors."""

    forward: Forward
    names: tuple[str, ...]
    states: int = 1

    def shape(self, name: str, vocab_size: int, num_hiddens: int) -> tuple[int, ...]:
        """The shape that follows from a name: W_x. (V,H), W_h. (H,H), W_hq (H,V), b_. (H,), b_q (V,)."""
        out = vocab_size if name.endswith("q") else num_hiddens
        return (out,) if name.startswith("b") else (vocab_size if name[2] == "x" else num_hiddens, out)


CELLS = {
    "rnn": Cell(rnn, ("W_xh", "W_hh", "b_h", "W_hq", "b_q")),
    "rnn_relu": Cell(rnn_relu, ("W_xh", "W_hh", "b_h", "W_hq", "b_q")),
    "gru": Cell(gru, tuple("W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h W_hq b_q".split())),
    "gru_after": Cell(gru_after, tuple("W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h b_hh W_hq b_q".split())),
    "lstm": Cell(
        lstm, tuple("W_xi W_hi b_i W_xf W_hf b_f W_xo W_ho b_o W_xc W_hc b_c W_hq b_q".split()), states=2
    ),
}


def get_params(cell: str, vocab_size: int, num_hiddens: int) -> Params:
    """Every W drawn N(0,1)*0.01 in the order of its name, every b zero."""
    params = []
    for name in CELLS[cell].names:
        shape = CELLS[cell].shape(name, vocab_size, num_hiddens)
        params.append(torch.zeros(shape) if name.startswith("b") else torch.randn(shape) * 0.01)
    return [param.requires_grad_() for param in params]


class RNNModelScratch:
    """A cell over one-hot tokens: X (B,T) int64 -> logits (T*B,V)."""

    def __init__(self, vocab_size: int, num_hiddens: int, params: Params, cell: Cell) -> None:
        self.vocab_size, self.num_hiddens, self.params, self.cell = vocab_size, num_hiddens, params, cell

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        return self.cell.forward(F.one_hot(X.T, self.vocab_size).float(), state, self.params)

    def begin_state(self, batch_size: int) -> State:
        return tuple(torch.zeros(batch_size, self.num_hiddens) for _ in range(self.cell.states))


LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RNNModel(nn.Module):
    """A torch.nn recurrent layer and one linear layer over all T*B outputs."""

    def __init__(self, rnn_layer: nn.RNNBase, vocab_size: int) -> None:
        super().__init__()
        self.rnn, self.vocab_size = rnn_layer, vocab_size
        self.linear = nn.Linear(rnn_layer.hidden_size, vocab_size)

    def forward(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        inputs = F.one_hot(X.T, self.vocab_size).float()
        Y, state = self.rnn(inputs, state if len(state) > 1 else state[0])
        return self.linear(Y.flatten(0, 1)), state if isinstance(state, tuple) else (state,)

    def begin_state(self, batch_size: int) -> State:
        shape = (self.rnn.num_layers, batch_size, self.rnn.hidden_size)
        return tuple(torch.zeros(shape) for _ in range(2 if isinstance(self.rnn, nn.LSTM) else 1))


Model = RNNModelScratch | RNNModel


def make_model(kind: str, cell: str, vocab_size: int, num_hiddens: int, seed: int) -> Model:
    """A new model, its weights drawn from the default generator after manual_seed(seed)."""
    torch.manual_seed(seed)
    if kind == "concise":
        return RNNModel(LAYERS[cell](vocab_size, num_hiddens), vocab_size)
    return RNNModelScratch(vocab_size, num_hiddens, get_params(cell, vocab_size, num_hiddens), CELLS[cell])


# Loop


def parameters(net: Model) -> Params:
    """What training changes, for both kinds of model."""
    return list(net.parameters()) if isinstance(net, nn.Module) else net.params


def predict_ch8(prefix: str, num_preds: int, net: Model, vocab: Vocab, record_grad: bool = False) -> str:
    """The prefix and its num_preds most likely next characters, one after the other."""
    state = net.begin_state(batch_size=1)
    indices = [vocab[token] for token in prefix]
    with torch.set_grad_enabled(record_grad):
        for index in indices[:-1]:
            _, state = net(torch.tensor([[index]]), state)
        for _ in range(num_preds):
            logits, state = net(torch.tensor([[indices[-1]]]), state)
            indices.append(int(logits.argmax(dim=1)))
    return prefix + "".join(vocab.idx_to_token[index] for index in indices[len(prefix) :])


def grad_clipping(net: Model, theta: float) -> None:
    """Scales all gradients, as one vector, down to a norm of theta."""
    grads = [param.grad for param in parameters(net)]
    norm = torch.sqrt(sum((grad**2).sum() for grad in grads))
    if norm > theta:
        for grad in grads:
            grad *= theta / norm


def sgd(params: Params, lr: float, batch_size: int) -> None:
    """One step down the gradients, which are zeroed."""
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad / batch_size
            param.grad.zero_()


def train_epoch_ch8(
    net: Model,
    train_iter: SeqDataLoader,
    updater: Callable[[], None],
    use_random_iter: bool = False,
    clip: float = 1,
) -> tuple[float, float]:
    """One pass over the data: (perplexity, tokens per second)."""
    state, total_loss, tokens, start = None, 0.0, 0, time.perf_counter()
    for X, Y in train_iter:
        if state is None or use_random_iter:
            state = net.begin_state(X.shape[0])
        else:
            state = tuple(s.detach() for s in state)
        y = Y.T.flatten()
        logits, state = net(X, state)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        grad_clipping(net, clip)
        updater()
        total_loss += loss.item() * y.numel()
        tokens += y.numel()
    return math.exp(total_loss / tokens), tokens / (time.perf_counter() - start)


@dataclass
class History:
    """What training measured, one entry an epoch."""

    perplexities: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)


def train_ch8(
    net: Model,
    train_iter: SeqDataLoader,
    lr: float,
    num_epochs: int,
    use_random_iter: bool = False,
    clip: float = 1,
    after_epoch: Callable[[int, float], None] = lambda epoch, perplexity: None,
) -> History:
    """Trains by SGD: the notebook's own for a scratch model, torch.optim's for a module."""
    if isinstance(net, nn.Module):
        optimizer = torch.optim.SGD(net.parameters(), lr)

        def updater() -> None:
            optimizer.step()
            optimizer.zero_grad()

    else:

        def updater() -> None:
            sgd(net.params, lr, batch_size=1)

    history = History()
    for epoch in range(1, num_epochs + 1):
        perplexity, speed = train_epoch_ch8(net, train_iter, updater, use_random_iter, clip)
        history.perplexities.append(perplexity)
        history.tokens_per_second.append(speed)
        after_epoch(epoch, perplexity)
    return history


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--cell", choices=LAYERS, default="rnn")
    parser.add_argument("--model", choices=("scratch", "concise"), default="scratch")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--num-steps", type=int, default=35)
    parser.add_argument("--lr", type=float, default=1)
    parser.add_argument("--clip", type=float, default=1, help="largest norm of the gradients")
    parser.add_argument("--offset", type=int, help="of every epoch; default: a new one each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--max-tokens", type=int, default=10000, help="0: all")
    parser.add_argument("--predict", type=int, default=50)
    parser.add_argument("--predict-grad", action="store_true", help="record gradients, as the notebook does")
    parser.add_argument("--json", action="store_true", help="one JSON object as the result")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    corpus, vocab = load_corpus_time_machine(args.text, args.max_tokens)
    train_iter = SeqDataLoader(corpus, args.batch_size, args.num_steps, args.offset, args.seed)
    net = make_model(args.model, args.cell, len(vocab), args.hidden, args.seed)

    def predict(prefix: str) -> str:
        return predict_ch8(prefix, args.predict, net, vocab, args.predict_grad)

    def after_epoch(epoch: int, perplexity: float) -> None:
        if epoch % 10 == 0:
            print(f"{epoch:5} {perplexity:8.3f} {predict(PROMPTS[0])}", file=sys.stderr)

    history = train_ch8(net, train_iter, args.lr, args.epochs, clip=args.clip, after_epoch=after_epoch)
    predictions = [predict(prefix) for prefix in PROMPTS]
    if not args.json:
        print(f"perplexity {history.perplexities[-1]:.1f}, {history.tokens_per_second[-1]:.1f} tokens/s on cpu")
        print(*predictions, sep="\n")
        return
    result = {
        "model": args.model,
        "cell": args.cell,
        "hidden": args.hidden,
        "seed": args.seed,
        "perplexities": history.perplexities,
        "tokens_per_second": history.tokens_per_second,
        "median": statistics.median(history.tokens_per_second),
        "seconds": time.perf_counter() - start,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "predictions": predictions,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

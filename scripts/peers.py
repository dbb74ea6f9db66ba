#!/usr/bin/env python3
"""Two more peers for scripts/bench_peers: the notebook's scratch cells under torch.compile, and in JAX.

Takes the options of tests/golden/notebook.py and --peer, trains from the same weights on the same batches, and prints
one JSON object with each epoch's perplexity and tokens per second.
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "golden"))

import torch  # noqa: E402

import notebook  # noqa: E402


def train_compiled(args: argparse.Namespace, net: notebook.RNNModelScratch, train_iter: notebook.SeqDataLoader) -> notebook.History:
    """The cell's own formula through torch.compile, which generates and compiles code for this CPU."""
    net.cell = notebook.Cell(torch.compile(net.cell.forward, dynamic=False), net.cell.names, net.cell.states)
    return notebook.train_ch8(net, train_iter, args.lr, args.epochs, clip=args.clip)


def jax_cells() -> dict:
    """The scratch cells' steps: (states, x by gate with its bias, W_h by gate) -> states, the first of which is h."""
    import jax.numpy as jnp
    from jax.nn import sigmoid

    def rnn(states, x, W):
        (h,) = states
        return (jnp.tanh(x[0] + h @ W[0]),)

    def gru(states, x, W):
        (h,) = states
        z = sigmoid(x[0] + h @ W[0])
        r = sigmoid(x[1] + h @ W[1])
        c = jnp.tanh(x[2] + (r * h) @ W[2])
        return (z * h + (1 - z) * c,)

    def lstm(states, x, W):
        h, c = states
        i, f, o = (sigmoid(x[k] + h @ W[k]) for k in range(3))
        c = f * c + i * jnp.tanh(x[3] + h @ W[3])
        return (o * jnp.tanh(c), c)

    return {"rnn": rnn, "gru": gru, "lstm": lstm}


def train_jax(args: argparse.Namespace, net: notebook.RNNModelScratch, train_iter: notebook.SeqDataLoader) -> notebook.History:
    """One jitted function a step: lax.scan over time, the gradient, the clip and the update."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    cell = jax_cells()[args.cell]

    def loss_of(params, X, Y, states):
        *gates, W_hq, b_q = params
        W_x, W_h, b = gates[0::3], gates[1::3], gates[2::3]
        inputs = [W[X.T] + bias for W, bias in zip(W_x, b)]  # each (T,B,H): looked up, not multiplied

        def step(states, x):
            states = cell(states, x, W_h)
            return states, states[0]

        states, hs = lax.scan(step, states, inputs)
        logits = hs.reshape(-1, hs.shape[-1]) @ W_hq + b_q
        labels = Y.T.reshape(-1)
        nats = jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
        return nats.mean(), states

    @jax.jit
    def train_step(params, X, Y, states):
        (loss, states), grads = jax.value_and_grad(loss_of, has_aux=True)(params, X, Y, states)
        norm = jnp.sqrt(sum((grad**2).sum() for grad in grads))
        scale = args.lr * jnp.minimum(1.0, args.clip / norm)
        return [param - scale * grad for param, grad in zip(params, grads)], loss, states

    params = [jnp.asarray(param.detach().numpy()) for param in net.params]
    history = notebook.History()
    for _ in range(args.epochs):
        states, total, tokens, start = None, 0.0, 0, time.perf_counter()
        for X, Y in train_iter:
            if states is None:
                states = tuple(jnp.zeros((X.shape[0], args.hidden)) for _ in range(net.cell.states))
            params, loss, states = train_step(params, X.numpy(), Y.numpy(), states)
            total += float(loss) * Y.numel()
            tokens += Y.numel()
        history.perplexities.append(math.exp(total / tokens))
        history.tokens_per_second.append(tokens / (time.perf_counter() - start))
    return history


TRAIN = {"compile": train_compiled, "jax": train_jax}


def main() -> None:
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--peer", choices=TRAIN, required=True)
    peer, rest = own.parse_known_args()
    sys.argv[1:] = rest
    args = notebook.parse_args()
    # JAX takes as many threads as it may run on cores
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    torch.set_num_threads(args.threads)
    corpus, vocab = notebook.load_corpus_time_machine(args.text, args.max_tokens)
    train_iter = notebook.SeqDataLoader(corpus, args.batch_size, args.num_steps, args.offset, args.seed)
    net = notebook.make_model("scratch", args.cell, len(vocab), args.hidden, args.seed)
    history = TRAIN[peer.peer](args, net, train_iter)
    print(json.dumps({"perplexities": history.perplexities, "tokens_per_second": history.tokens_per_second}))


if __name__ == "__main__":
    main()

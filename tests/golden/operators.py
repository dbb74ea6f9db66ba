"""The operators torch.ops.unroll.lstm, gru, rnn_tanh and rnn_relu beside torch.lstm and its siblings: outputs, states and gradients by
inputs, states and parameters, at once and compiled; torch.library.opcheck; what is refused; the example.

    python operators.py --library build/release/lib/libunroll_operators.so

Exit code: 0 equal, 1 different, 77 (a skip to ctest) when this Python has no torch.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import torch
except Exception as error:  # A wheel without its CUDA libraries raises more than ImportError.
    print(f"skipped: torch cannot be imported: {str(error).splitlines()[0]}")
    sys.exit(77)

from running import fail_unless
from torch import Tensor, nn

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fused_lstm.py"
INPUTS, HIDDEN, ROWS, COLUMNS = 5, 7, 4, 3  # of an input, whichever of them is the batch
LAYERS: list[tuple[str, Callable[..., nn.Module], Callable[..., Any]]] = [
    ("lstm", nn.LSTM, torch.lstm),
    ("gru", nn.GRU, torch.gru),
    ("rnn_tanh", nn.RNN, torch.rnn_tanh),
    ("rnn_relu", lambda *sizes, **more: nn.RNN(*sizes, nonlinearity="relu", **more), torch.rnn_relu),
]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2},
    {"num_layers": 2, "bidirectional": True},
    {"batch_first": True},
    {"bias": False},
]


def arguments_of(layer: nn.Module) -> tuple[Any, ...]:
    """What torch.lstm and its siblings are called with, on the layer's device and of its dtype."""
    like = {"device": layer._flat_weights[0].device, "dtype": layer._flat_weights[0].dtype, "requires_grad": True}
    batch = ROWS if layer.batch_first else COLUMNS
    layers = layer.num_layers * (2 if layer.bidirectional else 1)
    states = [torch.randn(layers, batch, HIDDEN, **like) for _ in range(2)]
    hx = tuple(states) if layer.mode == "LSTM" else states[0]
    x = torch.randn(ROWS, COLUMNS, INPUTS, **like)
    settings = layer.bias, layer.num_layers, layer.dropout, layer.training, layer.bidirectional, layer.batch_first
    return x, hx, layer._flat_weights, *settings


def tensors_in(arguments: tuple[Any, ...]) -> list[Tensor]:
    x, hx, weights = arguments[:3]
    return [x, *(hx if isinstance(hx, tuple) else [hx]), *weights]


def computed(function: Callable[..., Any], arguments: tuple[Any, ...], used: slice = slice(None)) -> list[Tensor]:
    """The results, and the gradients of a sum of those that are used."""
    results = function(*arguments)
    loss = sum((r * torch.linspace(0, 1, r.numel(), dtype=r.dtype, device=r.device).view_as(r)).sum() for r in results[used])
    return [*results, *torch.autograd.grad(loss, tensors_in(arguments))]


def compare(what: str, ours: list[Tensor], theirs: list[Tensor]) -> None:
    fail_unless(len(ours) == len(theirs), f"{what}: {len(ours)} tensors, expected {len(theirs)}")
    for i, (a, b) in enumerate(zip(ours, theirs)):
        fail_unless(a.shape == b.shape and torch.allclose(a, b, atol=1e-5), f"{what}: tensor {i} differs")


def check(name: str, layer: nn.Module, reference: Callable[..., Any], what: str) -> None:
    operator = getattr(torch.ops.unroll, name)
    arguments = arguments_of(layer)
    expected = computed(reference, arguments)
    compare(f"{what}, at once", computed(operator, arguments), expected)
    torch._dynamo.reset()
    compiled = torch.compile(lambda *args: operator(*args), backend="aot_eager", fullgraph=True)
    for time in ("first", "second"):
        compare(f"{what}, compiled, the {time} time", computed(compiled, arguments), expected)
    compare(f"{what}, compiled, of the outputs", computed(compiled, arguments, slice(1)), computed(reference, arguments, slice(1)))
    with torch.no_grad():
        compare(f"{what}, compiled without gradients", [*compiled(*arguments)], [*reference(*arguments)])
    for test, result in torch.library.opcheck(operator, arguments).items():
        fail_unless(result == "SUCCESS", f"{what}: {test} says {result}")
    double = arguments_of(layer.double())
    expected = computed(reference, double)
    compare(f"{what}, float64", computed(operator, double), expected)
    compare(f"{what}, float64, compiled", computed(compiled, double), expected)
    print(f"{what}: equal")


def two_equal_layers_in_one_graph() -> None:
    first, second = nn.GRU(HIDDEN, HIDDEN), nn.GRU(HIDDEN, HIDDEN)
    x, hx, weights, *settings = arguments_of(first)
    x = torch.randn(ROWS, COLUMNS, HIDDEN, requires_grad=True)
    arguments = x, hx, [*weights, *second._flat_weights]

    def stacked(gru: Callable[..., Any]) -> Callable[..., Any]:
        # The second twice, so that its two calls share a graph
        def run(x: Tensor, hx: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
            y, h = gru(x, hx, weights[:4], *settings)
            y, again = gru(y, h, weights[4:], *settings)
            return (*gru(y, again, weights[4:], *settings), h)

        return run

    ours, theirs = stacked(torch.ops.unroll.gru), stacked(torch.gru)
    torch._dynamo.reset()
    expected = computed(theirs, arguments)
    compare("layers one after the other", computed(ours, arguments), expected)
    compare("the same, compiled", computed(torch.compile(ours, backend="aot_eager", fullgraph=True), arguments), expected)


def the_inner_operators_keep_their_promises() -> None:
    x, hx, weights, has_biases, layers, *_ = arguments_of(nn.LSTM(INPUTS, HIDDEN, batch_first=True))
    tensors = [[t.detach() for t in part] for part in ([x], hx, weights)]
    told = "lstm", tensors[0][0], tensors[1], tensors[2], has_biases, layers
    forward = *told, False, True
    *results, memory = torch.ops.unroll.layers_forward(*forward)
    for operator, arguments in (
        (torch.ops.unroll.layers, (*told, 0.0, True, False, True)),
        (torch.ops.unroll.layers_forward, forward),
        (torch.ops.unroll.layers_backward, (*forward, memory, [torch.ones_like(results[0]), None, None])),
    ):
        for test, result in torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor")).items():
            fail_unless(result == "SUCCESS", f"{operator}: {test} says {result}")


def a_copy_of_the_memory_is_computed_anew() -> None:
    x, hx, weights, has_biases, layers, *_ = arguments = arguments_of(nn.LSTM(INPUTS, HIDDEN))
    expected = computed(torch.lstm, arguments)[3:]
    with torch.no_grad():
        told = "lstm", x, hx, weights, has_biases, layers, False, False
        *results, memory = torch.ops.unroll.layers_forward(*told)
        gradients = [torch.linspace(0, 1, r.numel()).view_as(r) for r in results]
        for what, place in (("memory", memory), ("a copy of it", memory.clone()), ("memory, again", memory)):
            compare(what, torch.ops.unroll.layers_backward(*told, place, gradients), expected)


def layers_that_are_gone_leave_no_memory() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    x, zeros = torch.randn(64, 64, 8), torch.zeros(1, 64, 256)
    sizes = []
    for _ in range(40):  # each takes 16 MiB for its gates alone
        layer = nn.LSTM(8, 256)
        y, *_ = torch.ops.unroll.lstm(x, (zeros, zeros), layer._flat_weights, True, 1, 0.0, True, False, False)
        y.sum().backward()
        sizes.append(resident())
    fail_unless(sizes[-1] - sizes[3] < 200 << 20, f"40 layers, one after the other, grow by {(sizes[-1] - sizes[3]) >> 20} MiB")


def refused(what: str, call: Callable[[], Any], expected: str) -> None:
    try:
        call()
    except Exception as error:  # torch.compile wraps it
        fail_unless(expected in str(error), f"{what}: says {error}, expected {expected}")
        return
    fail_unless(False, f"{what} is not refused")


def refusals() -> None:
    x, hx, weights, *settings = arguments_of(nn.LSTM(INPUTS, HIDDEN))
    lstm = torch.ops.unroll.lstm
    refused("a missing weight", lambda: lstm(x, hx, weights[:3], *settings), "lstm of 1 layers has 4 parameters")
    refused("a missing state", lambda: lstm(x, hx[:1], weights, *settings), "lstm has 2 states, got 1")
    refused("other inputs", lambda: lstm(x[..., 1:], hx, weights, *settings), "the input must have shape [T, B, 5], got [4, 3, 4]")
    torch._dynamo.reset()
    compiled = torch.compile(lambda *args: lstm(*args), backend="aot_eager", fullgraph=True)
    dropping = arguments_of(nn.LSTM(INPUTS, HIDDEN, num_layers=2, dropout=0.5))
    refused("dropout, compiled", lambda: compiled(*dropping), "has no dropout where it is compiled, got 0.5")


def dropout_draws_what_torch_draws() -> None:
    arguments = arguments_of(nn.LSTM(INPUTS, HIDDEN, num_layers=2, dropout=0.5))
    torch.manual_seed(3)
    ours = computed(torch.ops.unroll.lstm, arguments)
    torch.manual_seed(3)
    compare("dropout", ours, computed(torch.lstm, arguments))


def the_example_prints_what_it_says(library: Path) -> None:
    lines = EXAMPLE.read_text().split('"""')[1].splitlines()
    said = [line.strip() for line in lines if line.startswith("    ")][1:]
    # Without a C++ compiler, which inductor needs
    command = [sys.executable, EXAMPLE, library, "aot_eager"]
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    fail_unless(printed.stdout.splitlines() == said, f"{EXAMPLE.name} prints {printed.stdout}{printed.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", type=Path, required=True, help="libunroll_operators.so")
    args = parser.parse_args()
    torch.ops.load_library(args.library)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for name, make, reference in LAYERS:
            for settings in SETTINGS:
                layer = make(INPUTS, HIDDEN, **settings).to(device)
                check(name, layer, reference, f"{name} {settings} on {device}")
    two_equal_layers_in_one_graph()
    the_inner_operators_keep_their_promises()
    a_copy_of_the_memory_is_computed_anew()
    layers_that_are_gone_leave_no_memory()
    refusals()
    dropout_draws_what_torch_draws()
    the_example_prints_what_it_says(args.library)


if __name__ == "__main__":
    main()

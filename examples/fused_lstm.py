"""unroll's LSTM in Python: an operator under torch.nn.Module, torch.compile and torch.library.opcheck.

    python examples/fused_lstm.py build/release/lib/libunroll_operators.so

    the outputs and gradients of torch.nn.LSTM: yes
    the same, compiled: yes
    test_schema SUCCESS, test_autograd_registration SUCCESS, test_faketensor SUCCESS, test_aot_dispatch_dynamic SUCCESS
"""

import sys

import torch
from torch import Tensor, nn

torch.ops.load_library(sys.argv[1])


class LSTM(nn.Module):
    """torch.nn.LSTM, computed by unroll: the same parameters, state dict and results, for one direction."""

    def __init__(self, inputs: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        self.hidden, self.layers = hidden, layers
        for name, weight in nn.LSTM(inputs, hidden, layers).named_parameters():
            self.register_parameter(name, weight)

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if hx is None:
            hx = tuple(x.new_zeros(self.layers, x.shape[1], self.hidden) for _ in range(2))
        # What torch.lstm takes: has_biases, num_layers, dropout, train, bidirectional, batch_first
        settings = True, self.layers, 0.0, self.training, False, False
        y, h, c = torch.ops.unroll.lstm(x, hx, list(self.parameters()), *settings)
        return y, (h, c)


def step(net: nn.Module, x: Tensor) -> list[Tensor]:
    """A training step's outputs and gradients."""
    net.zero_grad()
    y = net(x)[0]
    y.square().mean().backward()
    return [y, *(p.grad for p in net.parameters())]


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(35, 32, 64)  # (T,B,features)
    theirs, ours = nn.LSTM(64, 256), LSTM(64, 256)
    ours.load_state_dict(theirs.state_dict())
    compiled = torch.compile(ours, fullgraph=True, backend=sys.argv[2] if len(sys.argv) > 2 else "inductor")
    for what, net in (("the outputs and gradients of torch.nn.LSTM", ours), ("the same, compiled", compiled)):
        same = all(torch.allclose(a, b, atol=1e-5) for a, b in zip(step(net, x), step(theirs, x)))
        print(f"{what}: {'yes' if same else 'no'}")
    hx = (torch.zeros(1, 32, 256), torch.zeros(1, 32, 256))
    arguments = (x, hx, list(ours.parameters()), True, 1, 0.0, True, False, False)
    checks = torch.library.opcheck(torch.ops.unroll.lstm, arguments)
    print(", ".join(f"{name} {result}" for name, result in checks.items()))


if __name__ == "__main__":
    main()

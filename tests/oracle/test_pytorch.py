"""PyTorch, live: cells, stacks, both directions, projections; through files in both ways."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from lstm_cli.cell.cells import cell_named  # noqa: E402
from lstm_cli.cell.weights import Model  # noqa: E402
from lstm_cli.commands.convert.conversion import convert  # noqa: E402
from lstm_cli.engine.run import run  # noqa: E402
from lstm_cli.formats.read import model_from_arrays, read_weights  # noqa: E402
from tests.conftest import random_weights  # noqa: E402
from tests.oracle.compare import (  # noqa: E402
    Case,
    H,
    I,
    N,
    P,
    T,
    Theirs,
    assert_same,
    draw,
    named,
    stacked,
)  # fmt: skip

FLOAT64, FLOAT32 = 1e-13, 1e-6
TORCH = named("torch")
SHAPES = [
    pytest.param(layers, both, proj, id=f"{layers}-layers{'-both' * both}{'-projected' * (proj > 0)}")
    for layers, both, proj in product((1, 2, 3), (False, True), (0, P))
]  # fmt: skip


class Recorder(TorchDispatchMode):
    """Keeps what PyTorch's own kernels make of the gates: i, f, g, o, in the order they run."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Keep input and result of each activation; those in place are kept before they change."""
        name = func.overloadpacket.__name__
        before = args[0].clone() if name in ("sigmoid_", "tanh_") else None
        result = func(*args, **(kwargs or {}))
        if before is not None:
            self.kept.append((before.numpy().copy(), result.numpy().copy()))
        return result

    def gates(self) -> dict[str, Any]:
        """Return z_k and k as (N, T, H)."""
        assert len(self.kept) == 4 * T
        return {
            symbol: np.stack([step[which] for step in self.kept[place::4]], axis=1)
            for place, gate in enumerate("ifgo")
            for which, symbol in enumerate((f"z_{gate}", gate))
        }


def fill(module: Any, seed: int) -> Any:
    """Give every parameter distinct numbers in its own type."""
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.from_numpy(draw(seed + 10 * place, *parameter.shape)))
    return module


def save(module: Any, path: Path) -> None:
    """Write a state dict as the suffix says."""
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    if path.suffix == ".pt":
        torch.save(state, path)
    else:
        safetensors_torch.save_file(state, path)


def run_cell(cell: Any, case: Case) -> Theirs:
    """Run an LSTMCell over the steps and keep its gates."""
    h, c = torch.from_numpy(case.h0[0]), torch.from_numpy(case.c0[0])
    outputs = []
    with torch.no_grad(), Recorder() as recorder:
        for x in torch.from_numpy(case.x).unbind(1):
            h, c = cell(x, (h, c))
            outputs.append(h.numpy())
    return Theirs(np.stack(outputs, axis=1), h.numpy()[None], c.numpy()[None], recorder.gates())


def run_lstm(module: Any, case: Case, *, gates: bool = False) -> Theirs:
    """Run an nn.LSTM; its gates are told apart only where one layer runs one way."""
    given = [torch.from_numpy(each) for each in (case.x, case.h0, case.c0)]
    with torch.no_grad():
        if not gates:
            output, (h, c) = module(given[0], (given[1], given[2]))
            return Theirs(output.numpy(), h.numpy(), c.numpy())
        with Recorder() as recorder:
            output, (h, c) = module(given[0], (given[1], given[2]))
    return Theirs(output.numpy(), h.numpy(), c.numpy(), recorder.gates())


def lstm(layers: int, both: bool, proj: int, **options: Any) -> Any:
    """Return an nn.LSTM that takes (N, T, I)."""
    return torch.nn.LSTM(
        I, H, num_layers=layers, bidirectional=both, proj_size=proj, batch_first=True, **options
    )


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_with_its_gates(tmp_path: Path, suffix: str, bias: bool) -> None:
    """LSTMCell in float64: z and value of every gate, h and c of every step, with and without bias."""
    cell = fill(torch.nn.LSTMCell(I, H, bias=bias, dtype=torch.float64), 100)
    save(cell, tmp_path / f"cell{suffix}")
    if bias:
        model = read_weights(tmp_path / f"cell{suffix}")
        assert model.convention == "pytorch-cell"
    else:
        model = read_weights(tmp_path / f"cell{suffix}", convention="pytorch-cell")
    case = Case.drawn(110)
    assert_same(case.run(model), run_cell(cell, case), FLOAT64, TORCH)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(("layers", "both", "proj"), SHAPES)
def test_a_stack_in_float64(
    tmp_path: Path, layers: int, both: bool, proj: int, suffix: str
) -> None:
    """nn.LSTM of 1 to 3 layers, one or both ways, with or without projection: all finals, output."""
    module = fill(lstm(layers, both, proj, dtype=torch.float64), 200)
    save(module, tmp_path / f"lstm{suffix}")
    model = read_weights(tmp_path / f"lstm{suffix}")
    assert model.convention == "pytorch"
    case = Case.drawn(210, output=proj, places=layers * (1 + both))
    gates = layers == 1 and not both
    assert_same(case.run(model), run_lstm(module, case, gates=gates), FLOAT64, TORCH)


@pytest.mark.parametrize(("layers", "both", "proj"), SHAPES)
def test_a_stack_in_float32(tmp_path: Path, layers: int, both: bool, proj: int) -> None:
    """Our float32 meets PyTorch's float32, whose kernels are others (oneDNN)."""
    module = fill(lstm(layers, both, proj), 300)
    save(module, tmp_path / "lstm.pt")
    case = Case.drawn(310, output=proj, places=layers * (1 + both), dtype=np.float32)
    trace = case.run(read_weights(tmp_path / "lstm.pt"), dtype=np.float32)
    assert trace.output.dtype == np.float32
    assert_same(trace, run_lstm(module, case), FLOAT32, f"{TORCH}, float32")


@pytest.mark.parametrize(("layers", "both", "proj"), SHAPES)
@pytest.mark.parametrize("calls", [(2, 1, 4, 3), (1,) * 5], ids=["uneven", "one-step"])
def test_calls_with_states_handed_on(
    tmp_path: Path, layers: int, both: bool, proj: int, calls: tuple[int, ...]
) -> None:
    """nn.LSTM called again and again, each time with the (h_n, c_n) of the call before."""
    module = fill(lstm(layers, both, proj, dtype=torch.float64), 350)
    save(module, tmp_path / "lstm.pt")
    case = Case.drawn(360, output=proj, places=layers * (1 + both), steps=sum(calls))
    trace = run(read_weights(tmp_path / "lstm.pt"), case.x, case.h0, case.c0, calls=calls)
    h0, c0, outputs = case.h0, case.c0, []
    for number, x in enumerate(np.split(case.x, np.cumsum(calls)[:-1], axis=1)):
        theirs = run_lstm(module, Case(x, h0, c0))
        h0, c0 = theirs.h, theirs.c
        outputs.append(theirs.output)
        for state, ends in (("h", h0), ("c", c0)):
            for each, end in zip(trace.layers, ends, strict=True):
                np.testing.assert_allclose(each.final(state, number), end, atol=FLOAT64)
    assert_same(trace, Theirs(np.concatenate(outputs, axis=1), h0, c0), FLOAT64, TORCH)


def test_no_bias(tmp_path: Path) -> None:
    """nn.LSTM(bias=False) is read with zero biases, and says so."""
    module = fill(lstm(2, True, 0, bias=False, dtype=torch.float64), 400)
    save(module, tmp_path / "lstm.pt")
    model = read_weights(tmp_path / "lstm.pt", convention="pytorch")
    assert "no biases in the weights: zeros" in model.assumptions
    case = Case.drawn(410, places=4)
    assert_same(case.run(model), run_lstm(module, case), FLOAT64, TORCH)


def test_an_lstm_inside_a_checkpoint(tmp_path: Path) -> None:
    """Two LSTMs of a training checkpoint, optimizer and all, each found by name."""
    model = torch.nn.ModuleDict(
        {"encoder": lstm(1, True, 0), "decoder": torch.nn.LSTM(2 * H, H, batch_first=True)}
    )
    fill(model.double(), 500)
    optimizer = torch.optim.Adam(model.parameters())
    model["decoder"](model["encoder"](torch.ones(1, 2, I, dtype=torch.float64))[0])[0].sum().backward()  # fmt: skip
    optimizer.step()
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(checkpoint, tmp_path / "run.pt")
    for name, inputs, places in (("encoder", I, 2), ("decoder", 2 * H, 1)):
        ours = read_weights(tmp_path / "run.pt", lstm=f"model.{name}")
        case = Case.drawn(510, inputs=inputs, places=places)
        assert_same(case.run(ours), run_lstm(model[name], case), FLOAT64, TORCH)


@pytest.mark.parametrize(("layers", "both", "proj"), SHAPES)
def test_our_safetensors_in_pytorch(tmp_path: Path, layers: int, both: bool, proj: int) -> None:
    """What `convert --to pytorch` writes loads by `load_state_dict` and gives the same numbers."""
    cell = cell_named("projection" if proj else "lstm")
    ways = ("forward", "backward")[: 1 + both]
    inputs = [I] + [len(ways) * (proj or H)] * (layers - 1)
    model = stacked(*(
        {way: random_weights(cell, size, H, proj, seed=10 * level + place)
         for place, way in enumerate(ways)}
        for level, size in enumerate(inputs)
    ))  # fmt: skip
    path = tmp_path / "ours.safetensors"
    done = convert(model, path, "pytorch")
    assert (done.weight_difference, done.output_difference) == (0, 0)
    module = lstm(layers, both, proj, dtype=torch.float64)
    module.load_state_dict(safetensors_torch.load_file(path))  # strict: no name more or less
    case = Case.drawn(600, output=proj, places=layers * (1 + both))
    assert_same(case.run(model), run_lstm(module, case), FLOAT64, f"{TORCH}, our file")


def test_our_safetensors_in_a_cell(tmp_path: Path) -> None:
    """`--to pytorch-cell` loads into an LSTMCell; the forget bias of a run time moves into it."""
    path = tmp_path / "ours.safetensors"
    from lstm_cli.cell.cells import with_forget_bias

    model = Model.single(random_weights(with_forget_bias(cell_named("lstm"), 1.0), I, H))
    convert(model, path, "pytorch-cell")
    cell = torch.nn.LSTMCell(I, H, dtype=torch.float64)
    cell.load_state_dict(safetensors_torch.load_file(path))
    case = Case.drawn(610)
    theirs = run_cell(cell, case)
    assert_same(case.run(model), theirs, FLOAT64, f"{TORCH}, our file")


def test_there_and_back(tmp_path: Path) -> None:
    """A .pt of PyTorch, converted by us and loaded again, runs to the same numbers there."""
    module = fill(lstm(2, True, P, dtype=torch.float64), 700)
    save(module, tmp_path / "theirs.pt")
    convert(read_weights(tmp_path / "theirs.pt"), tmp_path / "ours.safetensors", "pytorch")
    again = lstm(2, True, P, dtype=torch.float64)
    again.load_state_dict(safetensors_torch.load_file(tmp_path / "ours.safetensors"))
    case = Case.drawn(710, output=P, places=4)
    theirs, back = run_lstm(module, case), run_lstm(again, case)
    assert all(
        np.max(np.abs(getattr(theirs, key) - getattr(back, key))) <= FLOAT64
        for key in ("output", "h", "c")
    )
    assert case.x.shape == (N, T, I)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_state_dict_in_memory(dtype: Any) -> None:
    """`state_dict()` and parameters that require a gradient, of any type, are taken as they are."""
    module = fill(lstm(2, True, P, dtype=torch.float64), 800).to(dtype)
    whole = deepcopy(module).double()  # the same numbers: each type lies within float64
    case = Case.drawn(810, output=P, places=4)
    theirs = run_lstm(whole, case)
    for arrays in (module.state_dict(), dict(module.named_parameters())):
        assert_same(case.run(model_from_arrays(arrays)), theirs, FLOAT64, f"{TORCH}, in memory")


def test_tensors_are_run_as_they_are() -> None:
    """x, h and c may be tensors that want a gradient; a module is answered with what to call."""
    module = fill(lstm(2, True, 0, dtype=torch.float64), 801)
    uniform = np.random.default_rng(811).uniform
    x = torch.tensor(uniform(-1, 1, (N, T, I)), requires_grad=True)
    h, c = (torch.tensor(uniform(-1, 1, (4, N, H)), requires_grad=True) for _ in range(2))
    output, (h_n, c_n) = module(x, (h, c))
    trace = run(model_from_arrays(module.state_dict()), x, h, c)
    for ours, theirs in ((trace.output, output), (trace.layers[2].final("h"), h_n[2]),
                         (trace.layers[3].final("c"), c_n[3])):  # fmt: skip
        assert np.max(np.abs(ours - theirs.detach().numpy())) <= FLOAT64
    for function in (model_from_arrays, lambda each: run(each, x)):
        with pytest.raises(TypeError, match=r"model_from_arrays\(module.state_dict\(\)\)"):
            function(module)

"""Gradients, live: PyTorch's autograd through nn.LSTM and through cells written in its terms."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from lstm_cli.cell.equations import FUNCTIONS, Name, evaluate, parse  # noqa: E402
from lstm_cli.cell.grad import local  # noqa: E402
from lstm_cli.cell.weights import Model  # noqa: E402
from lstm_cli.engine.grad import Gradients, grad, through_time  # noqa: E402
from lstm_cli.formats.read import read_weights  # noqa: E402
from tests.oracle.compare import Case, H, I, N, P, T, assert_near, draw, named  # noqa: E402

ALLOWED = 1e-10
TORCH = f"{named('torch')}, gradients"
SHAPES = [
    pytest.param(layers, both, proj, id=f"{layers}-layers{'-both' * both}{'-projected' * (proj > 0)}")
    for layers, both, proj in product((1, 2), (False, True), (0, P))
]  # fmt: skip


def made(tmp_path: Path, layers: int, both: bool, proj: int) -> tuple[Any, Model, Case]:
    """Return a module of distinct numbers, our model of its file, and inputs."""
    module = torch.nn.LSTM(
        I, H, num_layers=layers, bidirectional=both, proj_size=proj, batch_first=True,
        dtype=torch.float64,
    )  # fmt: skip
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.from_numpy(draw(900 + 10 * place, *parameter.shape)))
    safetensors_torch.save_file(module.state_dict(), tmp_path / "lstm.safetensors")
    case = Case.drawn(950, output=proj, places=layers * (1 + both))
    return module, read_weights(tmp_path / "lstm.safetensors"), case


def autograd(module: Any, case: Case, weights: list[Any]) -> list[Any]:
    """Return x, h0, c0 with their gradients, of a loss weighted as ours; parameters keep theirs."""
    given = [torch.tensor(each, requires_grad=True) for each in (case.x, case.h0, case.c0)]
    output, (h, c) = module(given[0], (given[1], given[2]))
    ways = 2 if module.bidirectional else 1
    finals = [torch.cat(list(each[-ways:]), dim=-1) for each in (h, c)]
    loss = sum((one * torch.from_numpy(w)).sum()
               for one, w in zip((*finals, output), weights, strict=True))  # fmt: skip
    loss.backward()
    return given


def assert_parameters(ours: Gradients, module: Any) -> None:
    """Hold every parameter's gradient against the module's own, gate by gate."""
    for each in ours.layers:
        tail = f"l{each.layer}" + "_reverse" * (each.direction == "backward")
        theirs = {name.removesuffix(f"_{tail}"): p.grad.numpy()
                  for name, p in module.named_parameters() if name.endswith(f"_{tail}")}  # fmt: skip
        wide = each.weights.output_size
        for place, k in enumerate("ifgo"):
            rows = slice(place * H, (place + 1) * H)
            joined = np.hstack([theirs["weight_hh"][rows], theirs["weight_ih"][rows]])
            assert joined.shape[1] == wide + each.weights.input_size
            assert_near(f"d_W_{k} {tail}", each.parameters[f"W_{k}"], joined, ALLOWED, TORCH)
            for bias in ("bias_ih", "bias_hh"):  # each of two biases has the gradient of their sum
                assert_near(f"d_b_{k} {tail}", each.parameters[f"b_{k}"], theirs[bias][rows],
                             ALLOWED, TORCH)  # fmt: skip
        if "W_hr" in each.parameters:
            assert_near(
                f"d_W_hr {tail}", each.parameters["W_hr"], theirs["weight_hr"], ALLOWED, TORCH
            )


@pytest.mark.parametrize(("layers", "both", "proj"), SHAPES)
def test_a_stack(tmp_path: Path, layers: int, both: bool, proj: int) -> None:
    """1 and 2 layers, one or both ways, projected or not: parameters, x, h0, c0 as autograd's."""
    module, model, case = made(tmp_path, layers, both, proj)
    trace = case.run(model)
    weights = [
        draw(970 + n, *each.shape) for n, each in enumerate((trace.h, trace.c, trace.output))
    ]
    x, h0, c0 = autograd(module, case, weights)
    ours = grad(trace, *weights)
    assert_parameters(ours, module)
    assert_near("d_x", ours.x, x.grad.numpy(), ALLOWED, TORCH)
    assert ours.x.shape == (N, T, I)
    for place in range(len(ours.layers)):
        assert_near(f"d_h0 {place}", ours.h[place], h0.grad[place].numpy(), ALLOWED, TORCH)
        assert_near(f"d_c0 {place}", ours.c[place], c0.grad[place].numpy(), ALLOWED, TORCH)


def test_every_value_of_a_step(tmp_path: Path) -> None:
    """Gates and pre-activations in between, of every step, by autograd's retained gradients."""
    _, model, case = made(tmp_path, 1, False, 0)
    trace = case.run(model)
    arrays = {n: torch.tensor(a) for n, a in model.first.arrays.items()}
    h, c = (
        torch.tensor(case.h0[0], requires_grad=True),
        torch.tensor(case.c0[0], requires_grad=True),
    )
    kept: list[dict[str, Any]] = []
    for t in range(T):
        joined = torch.cat([h, torch.tensor(case.x[:, t], requires_grad=True)], dim=-1)
        made_ = {f"z_{k}": joined @ arrays[f"W_{k}"].T + arrays[f"b_{k}"] for k in "figo"}
        for k in "fio":
            made_[k] = torch.sigmoid(made_[f"z_{k}"])
        made_["g"] = torch.tanh(made_["z_g"])
        made_["c"] = c = made_["f"] * c + made_["i"] * made_["g"]
        made_["h"] = h = made_["o"] * torch.tanh(c)
        for value in (*made_.values(), joined):
            value.retain_grad()
        kept.append(made_ | {"hx": joined})
    h.sum().backward()
    ours = grad(trace).layers[0]
    for t, step in enumerate(kept, 1):
        for symbol, value in step.items():
            assert_near(f"d_{symbol}, t = {t}", ours.at(t)[f"d_{symbol}"], value.grad.numpy(),
                         ALLOWED, TORCH)  # fmt: skip


def test_jacobians_through_time(tmp_path: Path) -> None:
    """How a gradient fades: columns of ∂c_T/∂c_t by autograd, from every step."""
    module, model, case = made(tmp_path, 1, False, 0)
    flow = through_time(case.run(model))[0]
    trace = case.run(model).layers[0]
    for t in range(1, T):
        # c_t reaches the end through h_t = o_t tanh(c_t) too, o_t held.
        def end(c: Any, t: int = t) -> Any:
            h = torch.tensor(trace.values["o"][0, t - 1]) * torch.tanh(c)
            rest = torch.tensor(case.x[:1, t:])
            return module(rest, (h[None, None], c[None, None]))[1][1][0, 0]

        found = torch.autograd.functional.jacobian(end, torch.tensor(trace.values["c"][0, t - 1]))
        assert_near(f"dc_T/dc_{t}", flow.c[0, t - 1], found.norm(dim=0).numpy(), ALLOWED, TORCH)
        assert_near(f"diagonal {t}", flow.diagonal[0, t - 1], found.diagonal().numpy(), ALLOWED, TORCH)  # fmt: skip


ACTIVATIONS = {
    "sigmoid(a)": torch.sigmoid, "tanh(a)": torch.tanh, "relu(a)": torch.relu,
    "softplus(a)": torch.nn.functional.softplus, "softsign(a)": torch.nn.functional.softsign,
    "elu(a, 0.7)": lambda z: torch.nn.functional.elu(z, 0.7),
    "leaky_relu(a, 0.2)": lambda z: torch.nn.functional.leaky_relu(z, 0.2),
    "abs(a)": torch.abs, "exp(a)": torch.exp, "expm1(a)": torch.expm1,
    "hard_sigmoid_6(a)": torch.nn.functional.hardsigmoid,
}  # fmt: skip


@pytest.mark.parametrize("text", ACTIVATIONS)
def test_each_function_and_its_corner(text: str) -> None:
    """Derivatives over a range and at 0, where relu and its kin have a corner."""
    assert text.split("(")[0] in FUNCTIONS
    at = torch.linspace(-8, 8, 81, dtype=torch.float64)
    at[40] = 0.0
    if text.startswith("hard_sigmoid_6"):
        at = at[at.abs() != 3]  # at +3 PyTorch has 0, the derivative from the right
    at.requires_grad_()
    ACTIVATIONS[text](at).sum().backward()
    node = parse(text)
    gradient = local(node, Name("d"), node)[0]  # type: ignore[arg-type] # a function applied
    ours = evaluate(gradient, {"a": at.detach().numpy(), "d": np.ones(at.shape)})
    # PyTorch's hardsigmoid has a sixth in float32.
    allowed = 1e-8 if text == "hard_sigmoid_6(a)" else 1e-14
    assert_near(text, np.broadcast_to(ours, at.shape), at.grad.numpy(), allowed, TORCH)

"""Train the tiny LSTM behind the parity samples.

The network reads one bit per step.  There is no readout layer: h[0] itself is the
answer, positive when the number of ones so far is odd and negative when it is even.
Right after a flip |h[0]| cannot pass tanh(1) = 0.76, for the old cell value has the other
sign and the new candidate is at most 1, so 0.75 is the aim.  Training starts on short
streams, moves on to longer ones as each length is learned, and ends with very long ones.

Run from the repository root:

    python samples/make/train_parity.py

Needs torch and numpy.  Writes samples/weights/parity.npz under the names PyTorch uses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

DEFAULT_OUT = Path(__file__).resolve().parents[1] / "weights" / "parity.npz"
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
POLISH_LENGTH = 60
# Steps run before each polish stream, and learning rate.  The wait gets longer bit by bit:
# only an answer that still survives it can be trained to stay put.
POLISH_PLAN = (
    *((head, 0.01) for head in (10, 20, 30, 40, 60, 80, 120, 160, 240, 320)),
    *((1000, rate) for rate in (0.005, 0.002)),
)
POLISH_LIMIT = 400  # steps spent at most on one wait
BATCH = 128
TARGET = 0.75  # just under tanh(1), the most that a flip can reach
DECIMALS = 4  # the saved weights are rounded, and it is the rounded ones that get checked


def draw_bits(count: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """Draw `count` streams of 0/1; half are fair, the rest lean to zeros or to ones."""
    chance = torch.rand(count, 1, 1, generator=generator, dtype=torch.float64)
    chance = torch.sin(0.5 * torch.pi * chance).square()  # extreme leanings are common
    chance[: count // 2] = 0.5
    noise = torch.rand(count, length, 1, generator=generator, dtype=torch.float64)
    return (noise < chance).to(torch.float64)


def signs(bits: torch.Tensor) -> torch.Tensor:
    """Give +1 where the number of ones so far is odd and -1 where it is even."""
    return 2.0 * (bits.squeeze(-1).cumsum(dim=1) % 2) - 1.0


def signed_answers(model: torch.nn.LSTM, bits: torch.Tensor) -> torch.Tensor:
    """Return h[0] at every step, times the sign it should have (so 1 is best)."""
    output, _ = model(bits)
    return output[..., 0] * signs(bits)


def train_steps(
    model: torch.nn.LSTM,
    optimizer: torch.optim.Optimizer,
    length: int,
    limit: int,
    generator: torch.Generator,
    until: float,
) -> tuple[int, float]:
    """Train on one length; stop early once every answer in a batch is above `until`.

    Returns the steps taken and the last batch's smallest signed answer.
    """
    worst = -1.0
    for step in range(1, limit + 1):
        answers = signed_answers(model, draw_bits(BATCH, length, generator))
        worst = answers.min().item()
        if worst > until:
            return step, worst
        loss = (TARGET - answers).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return limit, worst


def polish(
    model: torch.nn.LSTM,
    optimizer: torch.optim.Optimizer,
    head: int,
    generator: torch.Generator,
    until: float,
) -> float:
    """Train on both ends of long streams; return the last batch's smallest signed answer.

    Half of the streams fall silent after a few bits and stay so to the far end or beyond,
    since what must be learned is to hold an answer for as long as it takes.  The steps in
    between run without gradients, and a stream whose answer they lost is left out.
    """
    total = head + POLISH_LENGTH
    step = torch.arange(total).reshape(1, total, 1)
    shape = (BATCH // 2, 1, 1)
    worst = -1.0
    for _ in range(POLISH_LIMIT):
        bits = draw_bits(BATCH, total, generator)
        asleep = torch.randint(1, 16, shape, generator=generator)
        awake = torch.randint(head, head + 2 * POLISH_LENGTH, shape, generator=generator)
        bits[::2] *= (step < asleep) | (step >= awake)
        wanted = signs(bits)
        with torch.no_grad():
            output, state = model(bits[:, :head])
        kept = output[:, -1, 0] * wanted[:, head - 1] > 0
        end, _ = model(bits[:, head:], state)
        end_answers = (end[..., 0] * wanted[:, head:])[kept]
        answers = torch.cat([signed_answers(model, bits[:, :POLISH_LENGTH]), end_answers])
        worst = answers.min().item()
        if worst > until and bool(kept.all()):
            break
        misses = (TARGET - answers).square()
        loss = misses.mean() + misses.amax(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return worst


def train(hidden: int, seed: int) -> torch.nn.LSTM | None:
    """Train one network through all lengths, or give up (None) when one is not learned."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    model = torch.nn.LSTM(1, hidden, batch_first=True, dtype=torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for length in LENGTHS:
        steps, worst = train_steps(model, optimizer, length, 2500, generator, until=0.6)
        print(f"  length {length:3d}: {steps:4d} steps, worst signed h[0] {worst:+.3f}", flush=True)
        if worst <= 0.6:
            return None
    for head, rate in POLISH_PLAN:
        for group in optimizer.param_groups:
            group["lr"] = rate
        worst = polish(model, optimizer, head, generator, until=0.6)
        print(f"  polish after {head:4d} steps: worst signed h[0] {worst:+.3f}", flush=True)
    return model


def round_weights(model: torch.nn.LSTM) -> None:
    """Round every weight in place to DECIMALS places."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.round(parameter, decimals=DECIMALS))


def check(model: torch.nn.LSTM) -> bool:
    """Test on fresh and much longer streams; print what came out and say if all is well."""
    generator = torch.Generator().manual_seed(2024)
    fair = (torch.rand(200, 500, 1, generator=generator, dtype=torch.float64) < 0.5).double()
    mixed = draw_bits(200, 5000, generator)
    runs = torch.stack([torch.zeros(5000, 1), torch.ones(5000, 1)]).double()
    after_runs = torch.cat([runs, mixed[:2, :500]], dim=1)
    fine = True
    for name, bits in (
        ("200 fair streams x 500", fair),
        ("200 mixed streams x 5000", mixed),
        ("5000 equal bits, then 500 mixed", after_runs),
    ):
        with torch.no_grad():
            answers = signed_answers(model, bits)
        right = (answers > 0).double().mean().item()
        worst = answers.min().item()
        print(f"  {name}: {100 * right:.4f} % right, worst signed h[0] {worst:+.4f}", flush=True)
        fine = fine and worst > 0.5
    # The weak spot: an odd answer slowly leaks away while nothing but zeros comes in.
    bits = torch.zeros(1, 5000, 1, dtype=torch.float64)
    bits[0, 0, 0] = 1.0
    with torch.no_grad():
        weak = (signed_answers(model, bits)[0] <= 0.5).nonzero()
    held = int(weak[0]) - 1 if len(weak) else 4999
    print(f"  a single one, then only zeros: h[0] stays above 0.5 for {held} zeros", flush=True)
    return fine and held >= 500


def main() -> None:
    """Try seeds until one network passes the check, then save it."""
    parser = argparse.ArgumentParser(description="train the parity LSTM")
    parser.add_argument("--hidden", type=int, default=2, help="size of h (default 2)")
    parser.add_argument("--seed", type=int, default=3, help="first seed to try (default 3)")
    parser.add_argument("--tries", type=int, default=20, help="seeds to try (default 20)")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(args.seed, args.seed + args.tries):
        print(f"hidden {args.hidden}, seed {seed}", flush=True)
        model = train(args.hidden, seed)
        if model is None:
            continue
        round_weights(model)
        if check(model):
            args.out.parent.mkdir(parents=True, exist_ok=True)
            np.savez(args.out, **{k: v.numpy() for k, v in model.state_dict().items()})
            print(f"saved {args.out}")
            return
    raise SystemExit("no seed passed the check; try a larger --hidden")


if __name__ == "__main__":
    main()

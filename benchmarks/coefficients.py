"""Make the polynomials of `lstm_cli/engine/fast_math.py`: minimax fits by Remez' exchange.

    python benchmarks/coefficients.py

Prints each list of coefficients, the constant term first, with its error relative to the function
that it is a part of; 1.1e-16 and 6.0e-8 are half a unit in the last place.
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import mp, mpf

mp.prec = 300
Real = Callable[[mpf], mpf]


def remez(f: Real, low: mpf, high: mpf, degree: int, turns: int = 12) -> tuple[list[mpf], mpf]:
    count, middle, half = degree + 2, (low + high) / 2, (high - low) / 2
    points = [middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    grid = [middle - half * mp.cos(mp.pi * k / 400) for k in range(401)]
    for _ in range(turns):
        rows = [[x**j for j in range(degree + 1)] + [(-1) ** i] for i, x in enumerate(points)]
        solved = mp.lu_solve(mp.matrix(rows), mp.matrix([f(x) for x in points]))
        coefficients = [solved[j] for j in range(degree + 1)]
        errors = [mp.polyval(coefficients[::-1], x) - f(x) for x in grid]
        peaks = [0]  # where the error is largest, between two changes of its sign
        for k in range(1, len(grid)):
            if (errors[k] > 0) != (errors[peaks[-1]] > 0):
                peaks.append(k)
            elif abs(errors[k]) > abs(errors[peaks[-1]]):
                peaks[-1] = k
        if len(peaks) != count:
            break
        points = [grid[k] for k in peaks]
    return coefficients, max(map(abs, errors))


def expm1_part(r: mpf) -> mpf:
    return (mp.expm1(r) - r) / r**2 if abs(r) > mpf("1e-40") else mpf(1) / 2


def log1p_part(u: mpf) -> mpf:
    root = mp.sqrt(u)
    return (2 * mp.atanh(root) / root - 2) / u if u > mpf("1e-40") else mpf(2) / 3


def main() -> None:
    edge = mp.log(2) / 2 * mpf("1.0001")
    for dtype, degrees in (("float64", (9, 9)), ("float32", (4, 4))):
        coefficients, error = remez(expm1_part, -edge, edge, degrees[0])
        print(dtype, "expm1", mp.nstr(error * edge, 3), [float(each) for each in coefficients])
        coefficients, error = remez(log1p_part, mpf(0), mpf(1) / 9, degrees[1])
        print(dtype, "log1p", mp.nstr(error / 18, 3), [float(each) for each in coefficients])


if __name__ == "__main__":
    main()

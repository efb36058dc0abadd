// Formats numbers like `base/numbers.py`: a shared table of cases tests that both agree.

// No tie has more digits than this: an exact half ends before.
const ALL_DIGITS = 100;
// Relative error up to which a double counts as a decimal such as 0.3 plus summation error.
const NOISE = 2 ** -48;

function number(value, digits) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const fixed = Math.abs(value) < 1e9 ? halfEven(value, digits, "toFixed") : "";
  if (value !== 0 && Number(fixed) === 0) {
    const [short, full] = [shortest(value), scientific(value, Math.max(digits - 1, 0))];
    const fits = short.length <= Math.min(full.length, digits + 2);
    return fits ? short.replace(/\.0$/, "") : bare(full, value);
  }
  const text = bare(fixed, value);
  return text === "-0" ? "0" : text;
}

// JavaScript rounds an exact half up where Python's `format` rounds it to even.
function halfEven(value, digits, write) {
  const [up, all] = [value[write](digits), value[write](ALL_DIGITS)];
  const [mantissa, power] = all.split("e");
  const end = mantissa.indexOf(".") + 1 + digits;
  if (!/^50*$/.test(mantissa.slice(end))) return up;
  const down = mantissa.slice(0, digits ? end : end - 1);
  return /[02468]$/.test(down) ? down + (power ? `e${power}` : "") : up;
}

const typeset = (text) => text.replaceAll("-", "−");

// At least two digits in an exponent.
const padded = (text) => text.replace(/e([+-])(\d)$/, "e$10$2");

const scientific = (value, digits) => padded(halfEven(value, digits, "toExponential"));

function shortest(value) {
  const text = value.toExponential();
  const power = Number(text.split("e")[1]);
  if (power < -4 || power >= 16) return padded(text);
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

// Strips trailing zeros from the decimals if the remaining text is exact.
function bare(text, value) {
  const [mantissa, power] = text.split("e");
  const stripped = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  const short = power ? `${stripped}e${power}` : stripped;
  return exact(Number(short), value) ? short : text;
}

// Whether a text is exact: a float32 must read back, a double may be off by rounding noise. A whole
// number must be exact: 1 - 1e-16 is not shown as 1.
function exact(shown, value) {
  const near = Math.abs(shown - value) <= NOISE * Math.abs(value);
  return shown === value || (near && !Number.isInteger(shown)) || Math.fround(shown) === value;
}

// The grammar's operators on vectors: a Float64Array, or a plain number that fits any size. The
// cell's equations come as trees, [function, argument, …], from the same table as every other number
// of lstm-step; only primitives of Math are named here.

const each = (f) => (a) => (typeof a === "number" ? f(a) : a.map(f));

const both = (f) => (a, b) => {
  if (typeof a === "number") return typeof b === "number" ? f(a, b) : b.map((y) => f(a, y));
  if (typeof b === "number") return a.map((x) => f(x, b));
  return a.map((x, i) => f(x, b[i]));
};

const PRIMITIVES = {
  "+": both((a, b) => a + b),
  "-": both((a, b) => a - b),
  "*": both((a, b) => a * b),
  "/": both((a, b) => a / b),
  "@": product,
  neg: each((a) => -a),
  concat: (...parts) => Float64Array.from(parts.flatMap((part) => [...part])),
  exp: each(Math.exp),
  expm1: each(Math.expm1),
  log1p: each(Math.log1p),
  tanh: each(Math.tanh),
  abs: each(Math.abs),
  min: both(Math.min),
  max: both(Math.max),
  heaviside: each((a) => (Number.isNaN(a) ? a : a > 0 ? 1 : 0)),
};

// A matrix is {rows, columns, data}, data by rows.
function product(matrix, vector) {
  const result = new Float64Array(matrix.rows);
  for (let row = 0, at = 0; row < matrix.rows; row += 1) {
    let sum = 0;
    for (let column = 0; column < matrix.columns; column += 1, at += 1) {
      sum += matrix.data[at] * vector[column];
    }
    result[row] = sum;
  }
  return result;
}

function evaluate(tree, values, functions) {
  if (typeof tree === "number") return tree;
  if (typeof tree === "string") return values[tree];
  const [name, ...parts] = tree;
  const given = parts.map((part) => evaluate(part, values, functions));
  if (!Object.hasOwn(functions, name)) return PRIMITIVES[name](...given);
  const { parameters, defaults, tree: body } = functions[name];
  const filled = [...given, ...defaults.slice(given.length - parameters.length + defaults.length)];
  return evaluate(body, Object.fromEntries(parameters.map((p, i) => [p, filled[i]])), functions);
}

// Equations as people read them, with their numbers.

// So many terms of a long sum are written out; the rest are counted and summed.
const MOST_TERMS = 6;

class Words {
  constructor(run, values, parameters, unit, digits) {
    Object.assign(this, { run, values, parameters, unit, digits });
    this.names = { ...parameters, ...values };
  }

  text(value) {
    return number(value, this.digits);
  }

  // A number inside an equation: a sign stands in parentheses.
  inside(value) {
    return value < 0 ? `(${this.text(value)})` : this.text(value);
  }

  at(vector) {
    if (typeof vector === "number") return vector;
    return vector.length === 1 ? vector[0] : vector[this.unit];
  }

  // The stages of an equation with numbers put in, in order, without the result.
  stages(row) {
    return row.stages.map((pieces) =>
      pieces
        .map((piece, i) => {
          const before = pieces[i - 1] ?? "(";
          const after = pieces[i + 1] ?? ")";
          const bracketed = /[([]$/.test(before) && /^[)\],]/.test(after);
          return this.piece(piece, bracketed);
        })
        .join(""),
    );
  }

  piece(piece, alone) {
    if (typeof piece === "string") return piece;
    if (piece.product) return this.product(...piece.product);
    const value = this.at(piece.value ? this.vector(piece.value) : this.names[piece.name]);
    return alone ? this.text(value) : this.inside(value);
  }

  vector(tree) {
    return evaluate(tree, this.names, this.run.cell.functions);
  }

  // The unit's row of a matrix, or as many of its first or last columns as the vector has numbers.
  product(matrix, tree, which) {
    const { columns, data } = this.parameters[matrix];
    const vector = this.vector(tree);
    const first = this.unit * columns + (which === "last" ? columns - vector.length : 0);
    const weights = data.subarray(first, first + vector.length);
    const sizes = Array.from(vector, (value, i) => Math.abs(value * weights[i]));
    const order = sizes.map((_, i) => i).sort((a, b) => sizes[b] - sizes[a] || a - b);
    const shown = order.slice(0, MOST_TERMS).sort((a, b) => a - b);
    const terms = shown.map((i) => `${this.inside(weights[i])}·${this.inside(vector[i])}`);
    const rest = order.slice(MOST_TERMS);
    if (!rest.length) return terms.join(" + ");
    const sum = rest.reduce((total, i) => total + weights[i] * vector[i], 0);
    return `${terms.join(" + ")} + [${rest.length} more: ${this.text(sum)}]`;
  }

  has(vector) {
    return this.unit < vector.length;
  }
}

// "C_{t−1}" with its subscripts lowered, as nodes of the page.
function named(text, document) {
  const nodes = [];
  let place = 0;
  for (const match of text.matchAll(/_(\{([^}]*)\}|\w+)/g)) {
    nodes.push(text.slice(place, match.index));
    const sub = document.createElement("sub");
    sub.textContent = match[2] ?? match[1];
    nodes.push(sub);
    place = match.index + match[0].length;
  }
  return [...nodes, text.slice(place)];
}

// The runs in the page's data: each is one layer in one direction.

function unpacked({ shape, single, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const numbers = Float64Array.from(
    single ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer),
  );
  return { rows: shape[0], columns: shape[1] ?? 1, matrix: shape.length > 1, data: numbers };
}

const row = (table, index) =>
  table.data.subarray(index * table.columns, (index + 1) * table.columns);

class Run {
  constructor(raw, cell, single) {
    Object.assign(this, { cell, single });
    ({ title: this.title, steps: this.steps, backward: this.backward, scales: this.scales } = raw);
    this.usual = raw.usual;
    this.raw = raw;
    this.parameters = Object.fromEntries(
      Object.entries(raw.parameters).map(([name, packed]) => {
        const array = unpacked(packed);
        return [name, array.matrix ? array : array.data];
      }),
    );
    this.states = { h: unpacked(raw.h), c: unpacked(raw.c) };
    this.start = { h: unpacked(raw.start.h).data, c: unpacked(raw.start.c).data };
    this.kept = new Map(); // t -> values, for steps that were computed
  }

  // The source of x: this run's own, or the runs of the layer below.
  connect(runs) {
    const { x } = this.raw;
    this.below = x.below?.map((place) => runs[place]);
    this.x = x.below ? null : unpacked(x);
  }

  get hiddenSize() {
    return this.states.c.columns;
  }

  // The inputs of step t, counted from 1.
  inputs(t) {
    const before = this.raw.before?.[t - 1] ?? (this.backward ? t + 1 : t - 1);
    const there = before >= 1 && before <= this.steps;
    const state = (name) => (there ? row(this.states[name], before - 1) : this.start[name]);
    const x = this.below
      ? PRIMITIVES.concat(...this.below.map((run) => row(run.states.h, t - 1)))
      : row(this.x, t - 1);
    return { x, h_prev: state("h"), c_prev: state("c") };
  }

  // Every value of a step, computed from its inputs: symbol -> Float64Array.
  compute(inputs, parameters = this.parameters) {
    const values = { ...inputs };
    const size = this.hiddenSize;
    for (const { symbol, tree } of this.cell.rows) {
      let value = evaluate(tree, { ...parameters, ...values }, this.cell.functions);
      if (typeof value === "number") value = new Float64Array(size).fill(value);
      values[symbol] = this.single ? value.map(Math.fround) : value;
    }
    return values;
  }

  at(t) {
    if (!this.kept.has(t)) this.kept.set(t, this.compute(this.inputs(t)));
    return this.kept.get(t);
  }

  // An expression shown in the circuit, with the values of a step; a plain number holds for all units.
  part(key, values, parameters = this.parameters) {
    if (Object.hasOwn(values, key)) return values[key];
    const { tree } = this.cell.parts[key];
    const value = evaluate(tree, { ...parameters, ...values }, this.cell.functions);
    return typeof value === "number" ? new Float64Array(this.hiddenSize).fill(value) : value;
  }
}

// Equations in readable form, with their numbers.

class Words {
  constructor(run, values, parameters, unit, digits) {
    Object.assign(this, { run, values, parameters, unit, digits });
    this.names = { ...parameters, ...values };
  }

  text(value) {
    return number(value, this.digits);
  }

  at(vector) {
    if (typeof vector === "number") return vector;
    return vector.length === 1 ? vector[0] : vector[this.unit];
  }

  // The stages of an expression as text, the last formatted as in the table.
  stages(tree, vector) {
    const { cell } = this.run;
    const worked = new Worked(this.names, cell.functions, cell.rules, this.digits);
    const last = this.at(vector);
    const before = new Set(tree === undefined ? [] : worked.stages(tree, this.unit));
    before.delete(worked.text({ value: last }));
    return [...before, this.text(last)];
  }

  has(vector) {
    return this.unit < vector.length;
  }
}

// "C_{t−1}" as page nodes, with subscripts.
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

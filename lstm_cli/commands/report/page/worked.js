// One number worked out stage by stage, as lstm_cli/show/arithmetic.py does for every other output:
// a tree is read, reduced stage by stage, and written. Its settings (signs, functions and their
// textbook forms, how much is shown) come with the data; a test compares the results.
//
// A scalar is {value}; {sign, parts}, an operator or a function of scalars; {terms, zeros, idle,
// more, rest}, a row of a matrix times a vector; or {book, value}, a function as textbooks have it.

const SUM = 1;
const NEGATIVE = 2;
const PRODUCT = 3;
const ATOM = 4;
const ARITHMETIC = ["+", "-", "*", "/", "neg"];
const PICKS = ["min", "max"];
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

const isKnown = (scalar) => !scalar.sign && !scalar.terms && !scalar.book;
const isPlain = ({ sign, parts, terms, book }) =>
  !book && (terms ?? parts ?? []).every(isPlain) && (!sign || ARITHMETIC.includes(sign));
const isSettled = (scalar) =>
  isKnown(scalar) || (PICKS.includes(scalar.sign) && scalar.parts.every(isSettled));
// A nontrivial product: 0.7·0.2 is, 1·0.2 and 0·0.2 are not.
const isProduct = ({ sign, parts }) =>
  (sign === "*" || sign === "/") && !parts.some((p) => isKnown(p) && Math.abs(p.value) <= 1 && Number.isInteger(p.value));
const summands = (scalar) =>
  scalar.sign === "+" || scalar.sign === "-" ? scalar.parts.flatMap(summands) : scalar.terms ?? [scalar];

class Worked {
  // names: symbol or parameter -> its numbers; rules: how to write them, from the page's data.
  constructor(names, functions, rules, digits) {
    Object.assign(this, { names, functions, rules, digits });
  }

  // The stages of a tree at a unit, from substituted numbers to the last before the result.
  stages(tree, unit) {
    const texts = [];
    let scalar = this.read(tree, unit);
    for (; !isKnown(scalar); scalar = this.reduced(scalar)) texts.push(this.text(scalar));
    return texts;
  }

  // ---- reading

  evaluated(tree) {
    return evaluate(tree, this.names, this.functions);
  }

  read(tree, unit) {
    if (typeof tree === "number") return { value: tree };
    if (typeof tree === "string") {
      const vector = this.names[tree];
      return { value: vector.length === 1 ? vector[0] : vector[unit] };
    }
    const [sign, ...parts] = tree;
    if (sign === "@") return this.product(...parts, unit);
    if (sign === "concat") return this.part(parts, unit);
    return { sign, parts: parts.map((part) => this.read(part, unit)) };
  }

  part([first, ...others], unit) {
    const size = this.evaluated(first).length;
    return unit < size ? this.read(first, unit) : this.part(others, unit - size);
  }

  // One product, or two if the notation gives h_prev a separate matrix.
  product(name, vector, unit) {
    const matrix = this.names[name];
    const weights = row(matrix, unit);
    if (!this.rules.split || JSON.stringify(vector) !== '["concat","h_prev","x"]') {
      return this.dot(weights, vector);
    }
    const wide = matrix.columns - this.names.x.length;
    const halves = [this.dot(weights.subarray(wide), "x"), this.dot(weights.subarray(0, wide), "h_prev")];
    return { sign: "+", parts: halves };
  }

  dot(weights, vector) {
    const numbers = this.evaluated(vector);
    const all = Array.from(weights, (_, j) => j);
    const gathered = (found) => (found.length >= this.rules.gathered ? found : []);
    const zeros = gathered(all.filter((j) => weights[j] === 0 && Number.isFinite(numbers[j])));
    const idle = gathered(
      all.filter((j) => numbers[j] === 0 && weights[j] !== 0 && Number.isFinite(weights[j])),
    );
    const left = all.filter((j) => !zeros.includes(j) && !idle.includes(j));
    // A nan hides every other term, so it counts as the largest.
    const size = (j) => {
      const product = Math.abs(weights[j] * numbers[j]);
      return Number.isFinite(product) ? product : Infinity;
    };
    const order = [...left].sort((a, b) => (size(a) === size(b) ? a - b : size(b) - size(a)));
    const shown = order.slice(0, this.rules.mostTerms).sort((a, b) => a - b);
    const rest = left.filter((j) => !shown.includes(j));
    return {
      terms: shown.map((j) => ({ sign: "*", parts: [{ value: weights[j] }, this.read(vector, j)] })),
      zeros: zeros.length,
      idle: idle.length,
      more: rest.length,
      rest: rest.reduce((sum, j) => sum + weights[j] * numbers[j], 0),
    };
  }

  // ---- from one stage to the next

  value(scalar) {
    if (scalar.terms) return scalar.terms.reduce((sum, each) => sum + this.value(each), 0) + scalar.rest;
    if (!scalar.sign) return scalar.value;
    return this.evaluated([scalar.sign, ...scalar.parts.map((part) => this.value(part))]);
  }

  known(scalar) {
    return { value: this.value(scalar) };
  }

  reduced(scalar) {
    const { sign, parts, terms } = scalar;
    if (!sign && !terms) return { value: scalar.value };
    if (terms || ARITHMETIC.includes(sign)) {
      const deeper = (each) => (isPlain(each) ? each : this.reduced(each));
      if (!isPlain(scalar)) {
        return terms ? { ...scalar, terms: terms.map(deeper) } : { sign, parts: parts.map(deeper) };
      }
      return summands(scalar).filter(isProduct).length > 1 ? this.multiplied(scalar) : this.known(scalar);
    }
    if (parts.every(isKnown)) return this.opened(scalar);
    if (isSettled(scalar)) return this.known(scalar);
    return { sign, parts: parts.map((part) => this.reduced(part)) };
  }

  multiplied(scalar) {
    const { sign, parts, terms } = scalar;
    const each = (inner) => inner.map((one) => this.multiplied(one));
    if (sign === "+" || sign === "-") return { sign, parts: each(parts) };
    return terms?.length ? { ...scalar, terms: each(terms), zeros: 0, idle: 0 } : this.known(scalar);
  }

  // Replaces a function of numbers by its textbook form, its body, or its value.
  opened(scalar) {
    const { parameters, defaults, textbook, opens } = this.functions[scalar.sign] ?? {};
    if (!opens) return this.known(scalar);
    const given = scalar.parts.length;
    const bound = Object.fromEntries(
      parameters.map((name, i) => {
        const missing = defaults[i - parameters.length + defaults.length];
        return [name, i < given ? scalar.parts[i] : { value: missing }];
      }),
    );
    const book = this.filled(opens, bound);
    return textbook ? { book, value: this.value(scalar) } : book;
  }

  filled(tree, bound) {
    if (typeof tree === "number") return { value: tree };
    if (typeof tree === "string") return bound[tree];
    const [sign, ...parts] = tree;
    return { sign, parts: parts.map((part) => this.filled(part, bound)) };
  }

  // ---- writing

  text(scalar) {
    return this.write(scalar)[0];
  }

  number(value) {
    const text = number(value, this.digits);
    const [mantissa, power] = text.split("e");
    const level = text.startsWith("-") ? NEGATIVE : power ? PRODUCT : ATOM;
    const raised = power && String(Number(power)).replace("-", "⁻").replace(/\d/g, (d) => RAISED[d]);
    return [typeset(mantissa) + (power ? `·10${raised}` : ""), level];
  }

  // A scalar's text and its precedence.
  write(scalar) {
    const { sign, parts, terms, book, value } = scalar;
    const { operators, functions, scale } = this.rules;
    if (book) return this.write(book);
    if (terms) return this.sum(scalar);
    if (!sign) return this.number(value);
    const [left, right] = parts;
    if (sign === "+" || sign === "-") return [this.side(left, SUM) + this.added(sign, right), SUM];
    if (sign === "*") return [this.factor(left) + scale + this.side(right, ATOM), PRODUCT];
    if (sign === "/") return [this.factor(left) + operators["/"] + this.side(right, ATOM), PRODUCT];
    if (sign === "neg" && isKnown(left) && left.value < 0) return this.number(-left.value);
    if (sign === "neg") return [operators.neg + this.side(left, ATOM), NEGATIVE];
    if (sign === "exp") return [`e^(${this.text(left)})`, ATOM];
    const inner = parts.map((part) => this.text(part)).join(", ");
    return [`${functions[sign] ?? sign}(${inner})`, ATOM];
  }

  side(scalar, level) {
    const [text, own] = this.write(scalar);
    return own >= level ? text : `(${text})`;
  }

  // A left factor: −1 and 2·10⁻⁵ are put in parentheses.
  factor(scalar) {
    return this.side(scalar, isKnown(scalar) ? ATOM : PRODUCT);
  }

  // A summand with its sign; adding a negative number becomes a subtraction.
  added(sign, scalar) {
    const [text, level] = this.write(scalar);
    const { operators } = this.rules;
    if (sign === "+" && text.startsWith(operators.neg) && (isKnown(scalar) || scalar.terms)) {
      return operators["-"] + text.slice(operators.neg.length);
    }
    const free = (level === SUM && sign === "+") || level >= PRODUCT;
    return operators[sign] + (free ? text : `(${text})`);
  }

  sum({ terms, zeros, idle, more, rest }) {
    const { operators, scale } = this.rules;
    const sides = [];
    const [first, ...others] = terms;
    if (first) sides.push(this.side(first, SUM) + others.map((each) => this.added("+", each)).join(""));
    if (zeros) sides.push(`0${scale}(${zeros} numbers)`);
    if (idle) sides.push(`(${idle} weights)${scale}0`);
    if (more) sides.push(`(${more} more term${more > 1 ? "s" : ""}: ${this.number(rest)[0]})`);
    return [sides.join(operators["+"]), sides.length === 1 && terms.length < 2 ? PRODUCT : SUM];
  }
}

// The drawn cell: its numbers, and what is under the pointer or has the focus.

// Decimals that fit in the circuit; the table shows them all.
const CIRCUIT_DIGITS = 4;

class Circuit {
  constructor(svg, look) {
    this.svg = svg;
    this.parts = [...svg.querySelectorAll("[data-key]")];
    for (const part of this.parts) {
      const { key } = part.dataset;
      part.addEventListener("pointerenter", () => look(key));
      part.addEventListener("click", () => look(key, true));
    }
    for (const part of svg.querySelectorAll(".operation, .label")) {
      part.setAttribute("tabindex", "0");
      part.addEventListener("focus", () => look(part.dataset.key));
    }
  }

  show(words, scales, colour) {
    for (const text of this.svg.querySelectorAll("[data-number]")) text.textContent = "–";
    for (const part of this.parts) {
      const { key } = part.dataset;
      const vector = words.run.part(key, words.values, words.parameters);
      const text = part.querySelector("[data-number]");
      if (text) text.textContent = this.text(key, vector, words);
      for (const chip of part.querySelectorAll("[data-unit]")) {
        const unit = Number(chip.dataset.unit);
        chip.setAttribute("fill", colour(scales[key], vector[unit]));
        chip.classList.toggle("chosen", key !== "x" && unit === words.unit);
      }
    }
  }

  // An input belongs to no unit: show all of a short one, the size of a long one.
  text(key, vector, words) {
    if (key === "x") {
      return vector.length > 3
        ? `${vector.length} numbers`
        : Array.from(vector, (value) => this.short(value, words)).join(", ");
    }
    return words.has(vector) ? this.short(words.at(vector), words) : "–";
  }

  short(value, words) {
    return number(value, Math.min(words.digits, CIRCUIT_DIGITS));
  }

  mark(key) {
    for (const part of this.parts) part.classList.toggle("marked", part.dataset.key === key);
  }
}

// What if: numbers of the current step that can be changed. Edits apply to that step only.

class Edits {
  // A run in single precision takes edits in single precision.
  constructor(single) {
    this.rounded = single ? Math.fround : Number;
    this.changed = new Map(); // name -> Map(index -> number)
  }

  get any() {
    return this.changed.size > 0;
  }

  set(name, index, value) {
    if (!this.changed.has(name)) this.changed.set(name, new Map());
    this.changed.get(name).set(index, this.rounded(value));
  }

  // The edited number, if there is one.
  of(name, index) {
    return this.changed.get(name)?.get(index);
  }

  clear() {
    this.changed.clear();
  }

  // Copies with the edits applied; arrays without edits are passed through.
  applied(named) {
    const result = { ...named };
    for (const [name, changes] of this.changed) {
      if (!Object.hasOwn(named, name)) continue;
      const old = named[name];
      const data = Float64Array.from(old.data ?? old);
      for (const [index, value] of changes) data[index] = value;
      result[name] = old.data ? { ...old, data } : data;
    }
    return result;
  }
}

// How many sliders are shown before "more" is pressed.
const MOST_SLIDERS = 12;

class Sliders {
  constructor(holder, changed) {
    Object.assign(this, { holder, changed });
    this.list = holder.querySelector(".sliders");
    this.more = holder.querySelector(".more");
    this.more.addEventListener("click", () => {
      this.all = true;
      this.build();
    });
  }

  // entries: {name, index, label, value, low, high, weight}, and `edited` if a number was changed;
  // the heaviest come first if not all are shown.
  show(entries) {
    this.entries = entries;
    this.all = false;
    this.build();
  }

  build() {
    const heaviest = [...this.entries].sort((a, b) => b.weight - a.weight).slice(0, MOST_SLIDERS);
    const shown = this.all ? this.entries : this.entries.filter((e) => heaviest.includes(e));
    this.list.replaceChildren(...shown.map((entry) => this.line(entry)));
    const hidden = this.entries.length - shown.length;
    this.more.hidden = hidden === 0;
    this.more.textContent = `${hidden} more, with smaller weights`;
  }

  line(entry) {
    const line = document.createElement("div");
    const label = document.createElement("label");
    const range = document.createElement("input");
    const box = document.createElement("input");
    line.className = "slider";
    label.append(...named(entry.label, document));
    range.type = "range";
    Object.assign(range, { min: entry.low, max: entry.high, step: "any" });
    box.type = "number";
    box.step = "any";
    const now = entry.edited ?? entry.value;
    line.classList.toggle("edited", entry.edited !== undefined);
    range.value = String(now);
    box.value = String(Number(now.toPrecision(7)));
    for (const input of [range, box]) {
      input.setAttribute("aria-label", entry.label);
      input.dataset.edits = `${entry.name}:${entry.index}`;
      input.addEventListener("input", () => {
        const value = input.valueAsNumber;
        if (!Number.isFinite(value)) return;
        if (input === range) box.value = String(Number(value.toPrecision(7)));
        else range.value = String(value);
        line.classList.add("edited");
        this.changed(entry.name, entry.index, value);
      });
    }
    line.append(label, range, box);
    return line;
  }
}

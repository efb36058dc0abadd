// Heat strips: a symbol's units down, steps across, in the colours of every lstm-step picture.

function mixed(ramp, place) {
  const at = Math.min(1, Math.max(0, place)) * (ramp.length - 1);
  const left = Math.min(Math.floor(at), ramp.length - 2);
  const part = (index, from) => parseInt(ramp[index].slice(from, from + 2), 16);
  return [1, 3, 5].map((from) => {
    const [one, other] = [part(left, from), part(left + 1, from)];
    return Math.round(one + (other - one) * (at - left));
  });
}

class Colours {
  constructor({ ramps, notFinite }) {
    this.ramps = ramps;
    this.notFinite = mixed([notFinite, notFinite], 0);
  }

  rgb([ramp, low, high], value) {
    if (!Number.isFinite(value)) return this.notFinite;
    // Halved, since the width of a scale may exceed the largest number.
    return mixed(this.ramps[ramp], (value / 2 - low / 2) / (high / 2 - low / 2));
  }

  css(scale, value) {
    return `rgb(${this.rgb(scale, value).join(" ")})`;
  }
}

// Maximum height of a strip in pixels; a strip of few units has more pixels per unit.
const MOST_ROWS = 132;

class Strip {
  // usual: the median of each unit. If several steps or units share a pixel, the number farthest
  // from it is shown, so that a single outlier among thousands of steps is visible.
  constructor(holder, symbol, { scale, usual }, colours, events) {
    Object.assign(this, { symbol, scale, usual, colours });
    this.canvas = holder.querySelector("canvas");
    this.cursor = holder.querySelector(".cursor");
    const place = (event) => this.placeOf(event);
    this.canvas.addEventListener("click", (event) => events.choose(...place(event)));
    this.canvas.addEventListener("pointermove", (event) => events.read(symbol, ...place(event)));
    this.canvas.addEventListener("pointerleave", () => events.read(null));
  }

  size(units, steps) {
    const { canvas } = this;
    const columns = Math.max(1, Math.min(steps, canvas.clientWidth));
    const rows = Math.min(units, MOST_ROWS);
    Object.assign(this, { units, steps, columns, rows });
    Object.assign(canvas, { width: columns, height: rows });
    canvas.style.height = `${Math.max(14, Math.min(MOST_ROWS, units * 11))}px`;
    this.image = new ImageData(columns, rows);
    this.far = new Float64Array(rows * columns).fill(-1);
    this.shown = new Array(rows * columns); // the step and unit that are shown
  }

  put(t, vector) {
    const column = Math.floor(((t - 1) * this.columns) / this.steps);
    for (let unit = 0; unit < this.units; unit += 1) {
      const value = vector[unit];
      const far = Number.isFinite(value) ? Math.abs(value - this.usual[unit]) : Infinity;
      const place = Math.floor((unit * this.rows) / this.units) * this.columns + column;
      if (far <= this.far[place]) continue;
      this.far[place] = far;
      this.shown[place] = [t, unit];
      this.image.data.set([...this.colours.rgb(this.scale, value), 255], place * 4);
    }
  }

  paint() {
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }

  move(t, unit) {
    const { style } = this.cursor;
    const there = unit < this.units;
    style.left = `${((t - 1) / this.steps) * 100}%`;
    style.width = `${100 / this.steps}%`;
    style.top = there ? `${(unit / this.units) * 100}%` : "0";
    style.height = there ? `${100 / this.units}%` : "100%";
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const part = (at, length, count) =>
      Math.min(count - 1, Math.max(0, Math.floor((at / length) * count)));
    const column = part(event.clientX - box.left, box.width, this.columns);
    const line = part(event.clientY - box.top, box.height, this.rows);
    return this.shown[line * this.columns + column] ?? [1, 0];
  }
}

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
    // In halves, since the width of a scale may be more than the largest number.
    return mixed(this.ramps[ramp], (value / 2 - low / 2) / (high / 2 - low / 2));
  }

  css(scale, value) {
    return `rgb(${this.rgb(scale, value).join(" ")})`;
  }
}

class Strip {
  constructor(holder, symbol, scale, colours, events) {
    Object.assign(this, { symbol, scale, colours });
    this.canvas = holder.querySelector("canvas");
    this.cursor = holder.querySelector(".cursor");
    const place = (event) => this.placeOf(event);
    this.canvas.addEventListener("click", (event) => events.choose(...place(event)));
    this.canvas.addEventListener("pointermove", (event) => events.read(symbol, ...place(event)));
    this.canvas.addEventListener("pointerleave", () => events.read(null));
  }

  size(units, steps) {
    Object.assign(this, { units, steps });
    Object.assign(this.canvas, { width: steps, height: units });
    this.canvas.style.height = `${Math.max(14, Math.min(132, units * 11))}px`;
  }

  paint(t, vector) {
    const image = new ImageData(1, this.units);
    for (let unit = 0; unit < this.units; unit += 1) {
      image.data.set([...this.colours.rgb(this.scale, vector[unit]), 255], unit * 4);
    }
    this.canvas.getContext("2d").putImageData(image, t - 1, 0);
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
    return [
      part(event.clientX - box.left, box.width, this.steps) + 1,
      part(event.clientY - box.top, box.height, this.units),
    ];
  }
}

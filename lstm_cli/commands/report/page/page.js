// The page: which run, step and unit are in view, and everything that shows them.

const raw = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const runs = raw.runs.map((each) => new Run(each, raw.cells[each.cell], raw.single));
for (const run of runs) run.connect(runs);
const colours = new Colours(raw);
const edits = new Edits(raw.single);
const view = { run: 0, t: raw.view.t, unit: raw.view.unit, key: null, pinned: null, moving: "x" };
const sheets = [...document.querySelectorAll(".drawing .sheet")];
const circuits = sheets.map((sheet) => new Circuit(sheet.querySelector("svg"), look));
const tables = [...document.querySelectorAll("#equations .sheet")];
const sliders = new Sliders($("#sliders"), (name, index, value) => {
  edits.set(name, index, value);
  showStep();
});
let strips = [];
let playing = 0;
let painting = 0;

const current = () => runs[view.run];
const circuit = () => circuits[raw.runs[view.run].cell];

// ---- the step in view

function words() {
  const run = current();
  const { x, h_prev, c_prev } = edits.applied(run.inputs(view.t));
  const parameters = edits.applied(run.parameters);
  const values = edits.any ? run.compute({ x, h_prev, c_prev }, parameters) : run.at(view.t);
  return new Words(run, values, parameters, view.unit, raw.view.digits);
}

// An error in one part of the page is shown there and does not stop the others.
function guarded(place, show) {
  const holder = $(place);
  holder.querySelector(":scope > .trouble")?.remove();
  try {
    show();
  } catch (error) {
    console.error(error);
    const textContent = `This part cannot be shown: ${error.message}`;
    holder.append(element("p", { className: "trouble hint", textContent }));
  }
}

function showStep() {
  guarded(".drawing", () =>
    circuit().show(words(), current().scales, (scale, value) => colours.css(scale, value)),
  );
  guarded("aside", showRows);
  guarded("#worked", showWorked);
  $("#t").value = String(view.t);
  $("#t-text").textContent = `${view.t} of ${current().steps}`;
  $("#unit").value = String(view.unit);
  $("#unit-text").textContent = String(view.unit);
  $("#edited").hidden = !edits.any;
  document.body.classList.toggle("what-if", edits.any);
  for (const strip of strips) strip.move(view.t, view.unit);
}

function showRows() {
  $("#rows tbody").replaceChildren();
  const now = words();
  const before = current().at(view.t);
  const { inputs, rows } = current().cell;
  const lines = [...inputs, ...rows].map(({ symbol, shown, label }) => {
    const [value, old] = [now.values[symbol], before[symbol]].map((vector) =>
      now.has(vector) ? now.at(vector) : null,
    );
    const moved = edits.any && value !== old;
    const line = element(
      "tr",
      {},
      element("td", {}, ...named(shown, document)),
      element("td", { textContent: label }),
      element("td", { className: "value", textContent: value === null ? "–" : now.text(value) }),
      element("td", { className: "was", textContent: moved ? now.text(old) : "" }),
    );
    line.dataset.symbol = symbol;
    line.classList.toggle("moved", moved);
    line.classList.toggle("marked", symbol === (view.key ?? view.pinned));
    line.addEventListener("pointerenter", () => look(symbol));
    line.addEventListener("click", () => look(symbol, true));
    return line;
  });
  $("#rows tbody").replaceChildren(...lines);
}

// ---- the equation under the pointer

function look(key, pin = false) {
  if (pin) view.pinned = view.pinned === key ? null : key;
  view.key = key;
  guarded("#worked", showWorked);
}

function showWorked() {
  // Nothing of the previous row may remain.
  for (const part of ["h2", ".formula", ".stages"]) $(`#worked ${part}`).replaceChildren();
  const now = words();
  const key = view.key ?? view.pinned ?? "h";
  const { inputs, rows, parts } = current().cell;
  const found = [...inputs, ...rows].find(({ symbol }) => symbol === key) ?? parts[key];
  if (!found) return;
  const vector = current().part(key, now.values, now.parameters);
  const there = now.has(vector);
  const shown = found.shown ?? found.equation;
  const title = $("#worked h2");
  title.replaceChildren(...named(`${shown}[${view.unit}]`, document));
  if (found.label) title.append(` · ${found.label}`);
  const formula = found.shown && found.equation ? `${found.shown} = ${found.equation}` : "";
  $("#worked .formula").replaceChildren(...named(formula, document));
  const stages = there ? now.stages(found.tree, vector) : [`no such unit: the last is ${vector.length - 1}`];
  $("#worked .stages").replaceChildren(
    ...stages.map((text) => element("li", { textContent: text })),
  );
  circuit().mark(key);
  for (const line of document.querySelectorAll("#rows tbody tr")) {
    line.classList.toggle("marked", line.dataset.symbol === key);
  }
}

// ---- sliders

const span = (value, least) => (Number.isFinite(value) ? Math.max(least, 2 * Math.abs(value)) : least);

function inputEntries(name) {
  const { shown } = current().cell.inputs.find(({ symbol }) => symbol === name);
  const vector = current().inputs(view.t)[name];
  const least = name === "h_prev" ? 1 : 2;
  return Array.from(vector, (value, index) => ({
    name, index, value, label: `${shown}[${index}]`,
    low: -span(value, least), high: span(value, least), weight: Math.abs(value),
  }));
}

// The row of a matrix, or the number of a vector, that belongs to the unit in view.
function parameterEntries(name) {
  const parameter = current().parameters[name];
  const shown = name;
  if (!parameter.data) {
    const index = parameter.length === 1 ? 0 : view.unit;
    const value = parameter[index];
    const entry = { name, index, value, label: `${shown}[${index}]`, weight: 1 };
    return value === undefined ? [] : [{ ...entry, low: -span(value, 2), high: span(value, 2) }];
  }
  if (view.unit >= parameter.rows) return [];
  const { x, h_prev } = current().inputs(view.t);
  const joined = h_prev.length + x.length === parameter.columns;
  return Array.from({ length: parameter.columns }, (_, column) => {
    const index = view.unit * parameter.columns + column;
    const value = parameter.data[index];
    const meets = !joined ? 1 : column < h_prev.length ? h_prev[column] : x[column - h_prev.length];
    const of = !joined ? `${column}` : column < h_prev.length ? `h${column}` : `x${column - h_prev.length}`;
    return {
      name, index, value, label: `${shown}[${view.unit}, ${of}]`,
      low: -span(value, 2), high: span(value, 2), weight: Math.abs(value * meets),
    };
  });
}

function showSliders() {
  guarded("#sliders", buildSliders);
}

function buildSliders() {
  const inputs = current().cell.inputs.map(({ symbol, shown }) => [symbol, shown]);
  const parameters = Object.keys(current().parameters).map((name) => [name, name]);
  const known = [...inputs, ...parameters].map(([name]) => name);
  if (!known.includes(view.moving)) view.moving = "x";
  const focused = document.activeElement.dataset.moves;
  $("#sliders .choice").replaceChildren(
    ...[...inputs, ...parameters].map(([name, shown]) => {
      const button = element("button", { type: "button" }, ...named(shown, document));
      button.setAttribute("role", "radio");
      button.setAttribute("aria-checked", String(name === view.moving));
      button.dataset.moves = name;
      button.addEventListener("click", () => {
        view.moving = name;
        showSliders();
      });
      return button;
    }),
  );
  // The buttons were recreated: restore the focus.
  if (focused) $(`#sliders [data-moves="${focused}"]`)?.focus();
  const isInput = inputs.some(([name]) => name === view.moving);
  const entries = isInput ? inputEntries(view.moving) : parameterEntries(view.moving);
  sliders.show(entries.map((e) => ({ ...e, edited: edits.of(e.name, e.index) })));
}

function putBack() {
  edits.clear();
  showSliders();
  showStep();
}

// ---- strips

function buildStrips() {
  const run = current();
  delete document.body.dataset.painted;
  const rows = [...run.cell.inputs, ...run.cell.rows].filter(
    ({ symbol }) => !symbol.startsWith("z_") && !symbol.endsWith("_prev"),
  );
  const holders = rows.map(({ symbol, shown, label }) => {
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${label || symbol} over time`);
    const holder = element("div", { className: "holder" }, canvas, element("div", { className: "cursor" }));
    const units = run.at(1)[symbol].length;
    const name = element("div", { className: "label" }, ...named(shown, document));
    name.append(element("small", { textContent: units === 1 ? "1 unit" : `0 … ${units - 1}` }));
    const line = element("div", { className: "strip" }, name, holder);
    line.dataset.symbol = symbol;
    const look = { scale: run.scales[symbol], usual: run.usual[symbol] };
    const strip = new Strip(holder, symbol, look, colours, { choose: go, read });
    return [strip, line, units];
  });
  strips = holders.map(([strip]) => strip);
  $("#strips .grid").replaceChildren(...holders.map(([, line]) => line));
  for (const [strip, , units] of holders) strip.size(units, run.steps);
  read(null);
  showLegend();
  cancelAnimationFrame(painting);
  paint(run, 1);
}

// Long runs are painted piece by piece, so that the page stays responsive.
function paint(run, from) {
  const until = performance.now() + 25;
  let t = from;
  for (; t <= run.steps && performance.now() < until; t += 1) {
    const values = run.at(t);
    for (const strip of strips) strip.put(t, values[strip.symbol]);
  }
  for (const strip of strips) strip.paint();
  const onwards = () => guarded("#strips", () => paint(run, t));
  if (t <= run.steps) painting = requestAnimationFrame(onwards);
  else document.body.dataset.painted = String(view.run);
}

function showLegend() {
  const scales = new Map(strips.map(({ scale }) => [scale.join(), scale]));
  const lines = [...scales.values()].map((scale) => {
    const [, low, high] = scale;
    const canvas = element("canvas", { width: 64, height: 1 });
    const pen = canvas.getContext("2d");
    for (let i = 0; i < 64; i += 1) {
      pen.fillStyle = colours.css(scale, low + ((high - low) * i) / 63);
      pen.fillRect(i, 0, 1, 1);
    }
    const users = strips.filter((strip) => strip.scale.join() === scale.join());
    const names = users.map(({ symbol }) => symbol).join(", ");
    return element("div", {}, number(low, 4), canvas, `${number(high, 4)}   ${names}`);
  });
  $("#legend").replaceChildren(...lines);
}

function read(symbol, t, unit) {
  const text = $("#reading");
  if (symbol === null) {
    const many = current().steps > (strips[0]?.columns ?? Infinity);
    const column = many ? "is the one of several steps that stands out most" : "a step";
    text.textContent = `Each row is a unit, each column ${column}. Click to go there.`;
    return;
  }
  const value = current().at(t)[symbol][unit];
  text.textContent = `${symbol}[${unit}] at step ${t}: ${number(value, raw.view.digits)}`;
}

// ---- moving about

function go(t, unit = view.unit) {
  const run = current();
  const [newT, newUnit] = [
    Math.min(run.steps, Math.max(1, t)),
    Math.min(run.hiddenSize - 1, Math.max(0, unit)),
  ];
  if (newT !== view.t) edits.clear();
  Object.assign(view, { t: newT, unit: newUnit });
  showSliders();
  showStep();
}

function chooseRun(place) {
  edits.clear();
  view.run = place;
  for (const [i, tab] of [...$("#tabs").children].entries()) {
    tab.setAttribute("aria-selected", String(i === place));
  }
  const cell = raw.runs[place].cell;
  for (const [i, sheet] of sheets.entries()) sheet.hidden = i !== cell;
  for (const [i, sheet] of tables.entries()) sheet.hidden = i !== cell;
  const size = current().hiddenSize;
  $("#unit").replaceChildren(
    ...Array.from({ length: size }, (_, i) => element("option", { value: String(i), textContent: String(i) })),
  );
  $("#t").max = String(current().steps);
  guarded("#strips", buildStrips);
  go(view.t);
}

function play() {
  clearInterval(playing);
  const stop = playing !== 0;
  playing = 0;
  if (!stop) {
    if (view.t === current().steps) go(1);
    playing = setInterval(() => {
      if (view.t >= current().steps) play();
      else go(view.t + 1);
    }, 350);
  }
  $("#play").textContent = stop ? "▶" : "❚❚";
  $("#play").setAttribute("aria-label", stop ? "play" : "stop");
}

const THEMES = ["system", "light", "dark"];

function nextTheme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  $("#theme").textContent = `theme: ${next}`;
}

function toggleKeys() {
  const keys = $("#keys");
  keys.hidden = !keys.hidden;
  $("#help").setAttribute("aria-expanded", String(!keys.hidden));
}

const KEYS = {
  ArrowLeft: () => go(view.t - 1),
  ArrowRight: () => go(view.t + 1),
  ArrowUp: () => go(view.t, view.unit - 1),
  ArrowDown: () => go(view.t, view.unit + 1),
  Home: () => go(1),
  End: () => go(current().steps),
  " ": play,
  "[": () => chooseRun((view.run + runs.length - 1) % runs.length),
  "]": () => chooseRun((view.run + 1) % runs.length),
  r: putBack,
  "?": toggleKeys,
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select") && event.target.id !== "t";
  const pressing = event.key === " " && event.target.matches("button");
  if (typing || pressing || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  guarded("#strips", buildStrips);
  for (const strip of strips) strip.move(view.t, view.unit);
});

$("#play").addEventListener("click", play);
$("#t").addEventListener("input", (event) => go(event.target.valueAsNumber));
$("#unit").addEventListener("change", (event) => go(view.t, Number(event.target.value)));
$("#reset").addEventListener("click", putBack);
$("#theme").addEventListener("click", nextTheme);
$("#help").addEventListener("click", toggleKeys);
$(".drawing").addEventListener("pointerleave", () => {
  view.key = null;
  guarded("#worked", showWorked);
});

$("#tabs").hidden = runs.length === 1;
$("#tabs").append(
  ...runs.map((run, place) => {
    const tab = element("button", { type: "button", textContent: run.title });
    tab.setAttribute("role", "tab");
    tab.addEventListener("click", () => chooseRun(place));
    return tab;
  }),
);
for (const each of document.querySelectorAll("#equations .formula")) {
  each.replaceChildren(...named(each.textContent, document));
}
chooseRun(0);

// For the curious and for tests: the numbers shown, in full.
window.lstmStep = {
  runs: runs.length,
  parts: () => current().cell.parts,
  step: (run, t) => Object.fromEntries(
    Object.entries(runs[run].at(t)).map(([symbol, vector]) => [symbol, Array.from(vector)]),
  ),
  now: () => Object.fromEntries(
    Object.entries(words().values).map(([symbol, vector]) => [symbol, Array.from(vector)]),
  ),
};

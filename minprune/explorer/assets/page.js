"use strict";
// The page itself: one step at a time, the drawing that goes with it, keys, links and two languages.

const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector) => document.querySelector(selector);
const steps = [...document.querySelectorAll(".step")];
const language = () => (find("#lang-zh").checked ? 1 : 0);
const word = (name, ...values) => values.reduce((text, value) => text.replace("{}", value), data.words[name][language()]);

// Say something to a screen reader; and fill in every word whose language may change.
const say = (text) => (find("#said").textContent = text);
say.word = word;
say.translate = (root) => {
  for (const element of root.querySelectorAll("[data-word]"))
    if (element.dataset.word in data.words) element.textContent = word(element.dataset.word);
};

const drawing = new Drawing(find("#net"), data);
const order = drawing.order;
const rank = (name) => order.indexOf(name);
let current = 0, whatIf = null, zoomed = 0;

// What is known at a step: forward up to its entry, backward down to it, and everything after that.
function knowledge(step) {
  const { about, phase } = step, own = drawing.place(about);
  const last = about.name === "loss" ? Infinity : rank(about.name);
  if (phase === "forward") {
    return (name, i, slope) => !slope && (rank(name) < last || (rank(name) === last && i <= own) || rank(name) === 0);
  }
  if (phase !== "backward") return () => true;
  const through = Array.isArray(step.through) ? step.through[0] : step.through;
  const from = own === null ? rank(through) : last;
  return (name, i, slope) => !slope || rank(name) > from || (rank(name) === from && (own === null || i <= own));
}

function draw() {
  const step = data.steps[current], backward = step.phase === "backward";
  const gone = whatIf ? whatIf.gone : {}, masked = Object.values(gone).flat().length;
  const dropped = masked ? gone : step.drop || {};
  const sample = step.about.sample ?? data.focus.sample ?? 0;
  if (data.values) {
    const live = masked ? Object.fromEntries(order.map((name) => [name, whatIf.values[data.program.values[name]]])) : data.values;
    if (replay) drawing.target(sample);
    const known = masked ? () => true : knowledge(step);
    drawing.paint(live, masked ? null : data.gradients, sample, known, backward && !masked, dropped);
  }
  const target = drawing.mark(step.about, step.reads, backward);
  markNeuron(step);
  find("#shown").dataset.word = backward && !masked ? "legend-slope" : "legend-value";
  find("#shown").textContent = word(find("#shown").dataset.word);
  find("#live").textContent = masked ? word("live", masked, digits(whatIf.full), digits(whatIf.loss), signed(whatIf.loss - whatIf.full)) : "";
  if (target) follow(target);
}

function markNeuron({ about }) {
  for (const cell of drawing.svg.querySelectorAll("[data-neuron]"))
    cell.classList.toggle("chosen", about.kind === "neuron" && cell.dataset.group === about.group && Number(cell.dataset.neuron) === about.neuron);
}

// On a narrow screen the drawing moves sideways in its own box, so that what a step is about is in sight.
function follow(cell) {
  const box = find(".canvas"), svg = drawing.svg.getBoundingClientRect();
  const x = (Number(cell.dataset.x) / drawing.svg.viewBox.baseVal.width) * svg.width;
  box.scrollLeft = x - box.clientWidth / 2;
}

function show(number, { quiet = false } = {}) {
  current = Math.min(Math.max(number, 1), steps.length) - 1;
  steps.forEach((step, i) => step.classList.toggle("current", i === current));
  const step = data.steps[current];
  for (const section of document.querySelectorAll(".phase")) section.classList.toggle("current", section.dataset.phase === step.phase);
  for (const button of find("#phases").children) button.setAttribute("aria-current", button.dataset.word === step.phase ? "step" : "false");
  const title = titleOf(steps[current]), output = steps[current].querySelector("output");
  const result = output ? ` = ${output.textContent}` : "";
  find("#slider").value = current + 1;
  find("#slider").setAttribute("aria-valuetext", `${current + 1} / ${steps.length}, ${word(step.phase)}: ${title}`);
  find("#previous").disabled = current === 0;
  find("#next").disabled = current === steps.length - 1;
  zoomed = 0;
  showRule();
  showSource();
  zoom();
  draw();
  if (!quiet) say(`${current + 1} / ${steps.length}. ${title}${result}`);
}

// A step's title in the language of the moment.
function titleOf(step) {
  const said = step.querySelectorAll("h4 span");
  return said[Math.min(language(), said.length - 1)].textContent;
}

// A formula that several steps share stands in the first of them.
function showRule() {
  const rule = steps[current].querySelector(".rule[data-rule]");
  if (rule && !rule.children.length) {
    const first = document.getElementById(`step=${rule.dataset.rule}`).querySelector(".rule");
    if (first) rule.append(...first.cloneNode(true).children);
  }
}

function go(number) {
  show(number);
  history.replaceState(null, "", `#step=${current + 1}`);
}

// A term as the grid shows it: its letters, numbers and value; what has names is multiplied here.
function told([first, second, value]) {
  if (!Array.isArray(first)) return { label: first, plugged: second, names: [], value: Number(value) };
  const factors = second.map(Number);
  return { label: first.join(" "), names: first, factors, value: factors.reduce((a, b) => a * b, 1) };
}

// The whole function that computes a step, in the place of its one line.
function showSource() {
  const figure = steps[current].querySelector(".source");
  if (!figure || figure.classList.contains("whole")) return;
  const telling = figure.querySelector(".runs").textContent;
  figure.classList.add("whole");
  figure.querySelector("pre").replaceChildren(
    ...data.sources[figure.dataset.source].map((text) => {
      const line = Object.assign(document.createElement("code"), { textContent: text + "\n" });
      if (text.trim() === telling) line.className = "runs";
      return line;
    }),
  );
}

// The terms of a step as a grid of squares, and one of them as a product.
function zoom() {
  const step = data.steps[current], box = steps[current].querySelector(".zoom");
  box.replaceChildren();
  if (!step.terms || step.terms.length < 2) return;
  const terms = step.terms.map(told), largest = Math.max(...terms.map((term) => Math.abs(term.value)).filter(Number.isFinite), 1e-300);
  const head = Object.assign(document.createElement("h5"), { textContent: word("terms") });
  const hint = Object.assign(document.createElement("p"), { className: "hint", textContent: word("terms-hint") });
  const grid = Object.assign(document.createElement("div"), { className: "grid" });
  const apart = step.across && step.terms.length % step.across === 1;
  grid.style.setProperty("--across", step.across || Math.min(step.terms.length, 8));
  grid.classList.toggle("dense", step.terms.length > 30);
  terms.forEach(({ label, value }, i) => {
    const square = Object.assign(document.createElement("button"), { type: "button", title: label });
    square.setAttribute("aria-label", `${label} = ${digits(value)}`);
    square.style.setProperty("--s", Math.min(Math.abs(value) / largest, 1).toFixed(3));
    square.className = `${value < 0 ? "neg" : ""}${apart && i === step.terms.length - 1 ? " apart" : ""}`;
    square.addEventListener("click", () => magnify(i));
    square.addEventListener("focus", () => magnify(i));
    square.addEventListener("mouseenter", () => magnify(i));
    grid.append(square);
  });
  grid.addEventListener("keydown", (event) => walk(event, grid));
  box.append(head, hint, grid, Object.assign(document.createElement("div"), { className: "product" }));
  magnify(Math.max(terms.findIndex((term) => Math.abs(term.value) === largest), 0));
}

// Arrow keys go from square to square.
function walk(event, grid) {
  const across = Number(grid.style.getPropertyValue("--across"));
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
  const next = by && grid.children[zoomed + by];
  if (by) event.stopPropagation();
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function magnify(i) {
  zoomed = i;
  const step = data.steps[current], box = steps[current].querySelector(".zoom");
  const { label, plugged, names, factors, value } = told(step.terms[i]);
  const squares = box.querySelector(".grid").children;
  [...squares].forEach((square, k) => {
    square.tabIndex = k === i ? 0 : -1;
    square.classList.toggle("on", k === i);
  });
  const product = box.querySelector(".product");
  product.replaceChildren();
  const piece = (name, number) => {
    const part = document.createElement("span");
    part.append(Object.assign(document.createElement("small"), { textContent: name }), Object.assign(document.createElement("b"), { textContent: number }));
    product.append(part);
  };
  const sign = (text) => product.append(Object.assign(document.createElement("i"), { textContent: text }));
  if (names.length) names.forEach((name, k) => (k && sign("·"), piece(name, digits(factors[k], 10))));
  else piece(label, plugged);
  if (names.length === 1) return;
  sign("=");
  piece(names.length ? label : "", digits(value, 10));
}

function keys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const inside = event.target.closest("input"), arrow = event.key.startsWith("Arrow");
  if (inside && (inside.type === "number" || (inside.type === "radio" && arrow))) return; // they have a use for it
  const to = {
    ArrowRight: current + 2, ArrowLeft: current, PageDown: current + 11, PageUp: current - 9, Home: 1, End: steps.length,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  go(to);
}

function phases() {
  for (const phase of new Set(data.steps.map((step) => step.phase))) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.dataset.word = phase;
    button.addEventListener("click", () => go(data.steps.findIndex((step) => step.phase === phase) + 1));
    find("#phases").append(button);
  }
}

function translate() {
  document.documentElement.lang = language() ? "zh-Hans" : "en";
  say.translate(document);
  find("#previous").setAttribute("aria-label", word("previous"));
  find("#next").setAttribute("aria-label", word("next"));
  find("#slider").setAttribute("aria-label", word("slider"));
  tellCheck();
  show(current + 1, { quiet: true });
}

// Replay everything once and say how it agrees with the trace; only then may the page compute.
let outcome = null, replay = null;
function verify() {
  if (!data.program) return;
  replay = new Replay(data.program);
  if (replay.missing) return;
  outcome = checked(replay, data);
  const losses = replay.run()[data.program.losses]; // the drawing's last column, which the trace holds as a step only
  data.values[LAST] = losses;
  data.gradients[LAST] = { shape: losses.shape, data: losses.data.map(() => 1) };
  data.program.values[LAST] = data.program.losses;
  if (!outcome.ok || !Object.values(data.scores).some((by) => Object.keys(by).length)) return;
  find("#what-if").hidden = false;
  whatIf = new WhatIf(find("#what-if"), data, replay, say, draw);
  drawing.svg.classList.add("alive");
  drawing.svg.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-neuron]");
    if (cell) whatIf.toggle(cell.dataset.group, Number(cell.dataset.neuron));
  });
  find("#count").addEventListener("input", () => whatIf.recount());
}

function tellCheck() {
  const line = find("#checked");
  if (!outcome) line.textContent = data.program ? word("unknown-op", replay.missing) : word("no-program");
  else line.textContent = outcome.ok ? word("checked", outcome.count, outcome.worst.toExponential(1).replace("-", "−")) : word("failed", outcome.worst.toExponential(1));
  line.className = outcome && outcome.ok ? "ok" : outcome ? "bad" : "";
}

function fromLink() {
  const found = /^#step=(\d+)$/.exec(location.hash);
  if (found) show(Number(found[1]));
}

document.documentElement.classList.add("js");
if (navigator.language.startsWith("zh")) find("#lang-zh").checked = true;
phases();
verify();
find("#slider").addEventListener("input", (event) => go(Number(event.target.value)));
find("#previous").addEventListener("click", () => go(current));
find("#next").addEventListener("click", () => go(current + 2));
for (const radio of document.querySelectorAll("[name=language]")) radio.addEventListener("change", translate);
addEventListener("keydown", keys);
addEventListener("hashchange", fromLink);
translate();
fromLink();

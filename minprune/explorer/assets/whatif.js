"use strict";
// Neurons switched off: the loss, the outputs, every rule's scores and every true cost, computed again.

const KINDS = {
  inverse_sensitivity_signed: "rule-printed",
  inverse_sensitivity: "rule-modulus",
  taylor: "rule-taylor",
  taylor_signed: "rule-signed",
  leave_one_out: "rule-truth",
};

class WhatIf {
  constructor(root, data, replay, say, changed) {
    Object.assign(this, { root, data, replay, say, changed, gone: {}, rule: Object.keys(data.scores)[0] });
    this.groups = data.network.groups.filter((group) => Object.values(data.scores).some((by) => group.name in by));
    this.neurons = this.groups.flatMap((group) => Array.from({ length: group.size }, (_, j) => [group.name, j]));
    this.full = replay.loss();
    this.answers = this.neurons.map(([group, j]) => replay.answers(group, j, {}));
    this.truth = this.neurons.map(([group, j]) => replay.loss({ [group]: [j] }) - this.full);
    this.body = root.querySelector("tbody");
    this.rules(root.querySelector("#rules"));
    const count = root.querySelector("#count");
    count.max = this.neurons.length - 1;
    count.value = Math.min(2, this.neurons.length - 1);
    root.querySelector("#apply").addEventListener("click", () => this.set(this.lowest(this.rule)));
    root.querySelector("#restore").addEventListener("click", () => this.set({}));
    this.neurons.forEach(([group, j], i) => this.row(group, j, i));
    this.recount();
  }

  rules(list) {
    for (const name of Object.keys(this.data.scores)) {
      const label = document.createElement("label"), radio = document.createElement("input");
      Object.assign(radio, { type: "radio", name: "rule", value: name, checked: name === this.rule });
      radio.addEventListener("change", () => {
        this.rule = name;
        this.compute();
        this.say(`${this.say.word("rule")}: ${name}`);
      });
      const code = document.createElement("code"), kind = document.createElement("small");
      code.textContent = name;
      if (KINDS[name]) kind.dataset.word = KINDS[name];
      label.append(radio, code, kind, Object.assign(document.createElement("output"), { htmlFor: "count" }));
      list.append(label);
    }
  }

  row(group, j, i) {
    const row = this.body.insertRow();
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: `${group}[${j}]` });
    button.dataset.neuron = i;
    button.addEventListener("click", () => this.toggle(group, j));
    row.insertCell().append(button);
    row.insertCell().className = "number";
    for (const kind of ["score", "cost"]) {
      const cell = row.insertCell();
      cell.className = `bar ${kind}`;
      cell.append(Object.assign(document.createElement("i"), {}), document.createElement("span"));
    }
    row.insertCell().className = "fate";
  }

  isGone(group, j) {
    return (this.gone[group] || []).includes(j);
  }

  toggle(group, j) {
    if (!this.neurons.some(([name, k]) => name === group && k === j)) return;
    const others = (this.gone[group] || []).filter((k) => k !== j);
    this.set({ ...this.gone, [group]: this.isGone(group, j) ? others : [...others, j] });
  }

  // The scores of a rule, asked of the whole network.
  whole(name) {
    if (name === "leave_one_out") return this.truth;
    if (name in RULES) return this.answers.map(RULES[name]);
    return this.neurons.map(([group, j]) => Number((this.data.scores[name][group] || [])[j]));
  }

  count() {
    const asked = Math.floor(Number(this.root.querySelector("#count").value)) || 0;
    return Math.min(Math.max(asked, 0), this.neurons.length - 1);
  }

  // Those that a rule puts lowest, as {group: [j]}.
  lowest(name) {
    const gone = {};
    for (const i of ranked(this.whole(name)).slice(0, this.count())) {
      const [group, j] = this.neurons[i];
      (gone[group] = gone[group] || []).push(j);
    }
    return gone;
  }

  // What every rule's choice of so many would do to the loss.
  recount() {
    for (const label of this.root.querySelectorAll("#rules label"))
      label.querySelector("output").textContent = signed(this.replay.loss(this.lowest(label.querySelector("input").value)) - this.full);
    this.compute();
  }

  set(gone) {
    this.gone = Object.fromEntries(Object.entries(gone).filter(([, list]) => list.length));
    this.compute();
    this.changed();
    const change = this.loss - this.full;
    this.say(`${this.say.word("loss")} ${digits(this.loss)}, ${this.say.word("change")} ${signed(change)}`);
  }

  // The chosen rule's scores and the true costs, with these neurons gone.
  scored(gone) {
    const loss = this.replay.loss(gone);
    const costs = this.neurons.map(([group, j]) => {
      const left = (gone[group] || []).includes(j);
      return left ? NaN : this.replay.loss(without(gone, group, j)) - loss;
    });
    const rule = RULES[this.rule];
    const scores = this.neurons.map(([group, j], i) => {
      if (Number.isNaN(costs[i])) return NaN;
      if (this.rule === "leave_one_out") return costs[i];
      return rule ? rule(this.replay.answers(group, j, gone)) : Number((this.data.scores[this.rule][group] || [])[j]);
    });
    return { loss, costs, scores };
  }

  compute() {
    this.values = this.replay.run(this.gone);
    const { loss, costs, scores } = this.scored(this.gone);
    this.loss = loss;
    this.show(costs, scores);
  }

  show(costs, scores) {
    const scale = (list) => Math.max(...list.filter(Number.isFinite).map(Math.abs), 1e-300);
    const [most, dearest] = [scale(scores), scale(costs)];
    const next = new Set(ranked(scores).slice(0, this.count()));
    const sample = this.data.focus.sample || 0;
    this.neurons.forEach(([group, j], i) => {
      const row = this.body.rows[i], away = this.isGone(group, j), button = row.querySelector("button");
      button.setAttribute("aria-pressed", away);
      row.classList.toggle("gone", away);
      row.classList.toggle("next", !away && next.has(i));
      row.cells[1].textContent = away ? "0" : digits(this.output(group, j, sample), 4);
      bar(row.cells[2], scores[i], most);
      bar(row.cells[3], costs[i], dearest);
      row.cells[4].dataset.word = away ? "masked" : next.has(i) ? "goes" : "stays";
    });
    const change = this.loss - this.full, masked = Object.values(this.gone).flat().length;
    this.root.querySelector("#loss-all").textContent = digits(this.full, 12);
    this.root.querySelector("#loss-now").textContent = digits(this.loss, 12);
    const shown = this.root.querySelector("#loss-change");
    shown.textContent = masked ? signed(change) : "";
    const verdict = this.root.querySelector("#verdict");
    verdict.dataset.word = !masked ? "same" : change > 0 ? "worse" : "better";
    verdict.className = !masked ? "" : change > 0 ? "worse" : "better";
    this.root.querySelector("#restore").disabled = !masked;
    this.root.querySelector("#fixed").hidden = this.rule in RULES || this.rule === "leave_one_out";
    this.say.translate(this.root);
  }

  // What a neuron puts out for a sample; of a channel the mean over its places.
  output(group, j, sample) {
    const gate = this.data.program.gates[group][0];
    const op = this.data.program.ops.find((step) => step.op === "gate" && step.inputs.m === gate.array);
    const array = this.values[op.inputs.a], step = inner(array.shape);
    const own = gate.owner.flatMap((owner, c) => (owner === j ? [c] : []));
    const found = own.flatMap((c) => {
      const start = (sample * array.shape[1] + c) * step;
      return Array.from(array.data.slice(start, start + step));
    });
    return average(found);
  }
}

// The places of scores, lowest first; ties go to the lower index, and those that are no longer there are left out.
const ranked = (scores) =>
  scores.map((_, i) => i).filter((i) => !Number.isNaN(scores[i])).sort((a, b) => (scores[a] < scores[b] ? -1 : scores[a] > scores[b] ? 1 : a - b));

const digits = (value, count = 6) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(count))).replaceAll("-", "−") : value > 0 ? "+∞" : "−∞";
const signed = (value) => (value > 0 ? "+" : "") + digits(value);

// A bar from the middle of its cell: to the right above zero, to the left below.
function bar(cell, value, largest) {
  const [line, text] = cell.children;
  const share = Number.isNaN(value) ? 0 : Number.isFinite(value) ? Math.abs(value) / largest : 1;
  line.style.setProperty("--share", share.toFixed(4));
  line.className = value < 0 ? "neg" : "";
  text.textContent = Number.isNaN(value) ? "" : digits(value, 4);
}

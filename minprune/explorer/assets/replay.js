"use strict";
// The network computed again from the trace's op program, some neurons held at zero; and what follows from that.

const STEP = 1e-5; // of central differences: as exact as float64 lets them be, about ten digits

class Replay {
  constructor(program) {
    this.program = program;
    const unknown = program.ops.find((step) => !(step.op in OPS));
    this.missing = unknown ? unknown.op : null;
    this.arrays = {};
    for (const [name, array] of Object.entries(program.arrays))
      this.arrays[name] = { shape: array.shape, data: Float64Array.from(array.data, Number) };
  }

  // All values, the neurons of `gone` ({group: [j]}) at zero. `nudge` moves one neuron, {group, neuron, gate, add}:
  // its gates, or what comes out of them.
  run(gone = {}, nudge = null) {
    const values = { ...this.arrays }, shifts = {};
    for (const [group, gates] of Object.entries(this.program.gates))
      for (const { array, owner } of gates) {
        const closed = gone[group] || [], moved = nudge && nudge.group === group;
        if (!closed.length && !moved) continue;
        const data = values[array].data.map((m, c) => (closed.includes(owner[c]) ? 0 : m));
        if (moved) owner.forEach((j, c) => j === nudge.neuron && (data[c] += nudge.gate));
        if (moved) shifts[array] = owner.map((j) => (j === nudge.neuron ? nudge.add : 0));
        values[array] = { shape: values[array].shape, data };
      }
    for (const step of this.program.ops) {
      const inputs = {};
      for (const [arg, name] of Object.entries(step.inputs)) inputs[arg] = name === null ? null : values[name];
      let data = OPS[step.op](inputs, step.options, step.shape);
      const shift = step.op === "gate" && shifts[step.inputs.m];
      if (shift) data = data.map((value, i) => value + shift[channel(step.shape, i)]);
      values[step.output] = { shape: step.shape, data };
    }
    return values;
  }

  loss(gone = {}) {
    return this.run(gone)[this.program.loss].data[0];
  }

  // How each sample's loss answers to a neuron: to what it puts out (s), and to its gate (the sum of a·s).
  answers(group, neuron, gone) {
    const by = (gate, add) => {
      const [up, down] = [1, -1].map(
        (sign) => this.run(gone, { group, neuron, gate: sign * gate, add: sign * add })[this.program.losses].data,
      );
      return Array.from(up, (value, n) => (value - down[n]) / (2 * STEP));
    };
    return { slope: by(0, STEP), effect: by(STEP, 0) };
  }
}

const average = (values) => total(values) / values.length;
const inverse = (value) => (value === 0 ? Infinity : 1 / value);
// The rules that follow from these answers: as printed, and corrected.
const RULES = {
  inverse_sensitivity_signed: (a) => inverse(average(a.slope)),
  inverse_sensitivity: (a) => inverse(average(a.slope.map(Math.abs))),
  inverse_sensitivity_mean: (a) => inverse(Math.abs(average(a.slope))),
  sensitivity: (a) => average(a.slope.map(Math.abs)),
  sensitivity_signed: (a) => average(a.slope),
  taylor: (a) => average(a.effect.map(Math.abs)),
  taylor_mean: (a) => Math.abs(average(a.effect)),
  taylor_signed: (a) => -average(a.effect),
  taylor_squared: (a) => average(a.effect.map((e) => e * e)),
  fisher: (a) => average(a.effect.map((e) => e * e)) / 2,
};

const without = (gone, group, neuron) => ({ ...gone, [group]: [...(gone[group] || []), neuron] });

// The page's arithmetic against the trace: every value, every loss that a check names, every score that is computed
// here. Differences are relative to the largest number of the same array.
function checked(replay, data) {
  let count = 0, worst = 0, slack = 0;
  const compare = (found, expected) => {
    const scale = Math.max(...Array.from(expected, (x) => Math.abs(Number(x))).filter(Number.isFinite), 1e-300);
    expected.forEach((value, i) => {
      const exact = Number(value), off = found[i] === exact ? 0 : Math.abs(found[i] - exact) / scale;
      worst = Math.max(worst, Number.isFinite(off) ? off : Infinity);
      count += 1;
    });
  };
  const values = replay.run();
  for (const [name, array] of Object.entries(data.values)) compare(values[data.program.values[name]].data, array.data);
  const losses = data.steps.filter((step) => step.without !== undefined);
  for (const step of losses) compare([replay.loss(step.drop)], [step.without]);
  const loss = replay.loss();
  for (const [group, scores] of Object.entries(data.scores.leave_one_out || {})) {
    compare(scores.map((_, j) => loss + replay.loss({ [group]: [j] }) - loss), scores.map((score) => loss + Number(score)));
  }
  return { count, worst, ok: worst < 1e-9 };
}

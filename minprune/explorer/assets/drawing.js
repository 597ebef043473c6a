"use strict";
// The drawing's cells: recoloured for the values or the slopes of a moment, and lines to what a step reads.

const SVG = "http://www.w3.org/2000/svg";
const LAST = "losses"; // the drawing's last column

// A number as it fits into a circle.
const short = (value, count) => {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const plain = Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3);
  return (plain ? value.toExponential(0) : String(Number(value.toPrecision(count)))).replaceAll("-", "−");
};

class Drawing {
  constructor(svg, data) {
    this.svg = svg;
    this.data = data;
    this.order = [...Object.keys(data.network.inputs), ...data.network.nodes.map((node) => node.name), LAST];
    this.cells = new Map();
    for (const cell of svg.querySelectorAll(".cell")) this.cells.set(`${cell.dataset.v} ${cell.dataset.i}`, cell);
    this.reads = svg.querySelector("#reads");
    this.marks = svg.querySelector("#marks");
  }

  // The target of a sample, below the loss.
  target(sample) {
    const { program } = this.data, step = program.ops.find((op) => op.output === program.losses);
    const array = program.arrays[step.inputs.t];
    const label = this.svg.querySelector(`.column[data-v="${LAST}"] .below`);
    label.textContent = `t = ${array.shape.length < 2 ? array.data[sample] : this.part(array, sample).map((t) => short(t, 3)).join(", ")}`;
  }

  // One sample's part of an array.
  part(array, sample) {
    const length = array.data.length / array.shape[0];
    return Array.from(array.data.slice(sample * length, (sample + 1) * length), Number);
  }

  // Colour every cell: by value, or (backward) by slope; what is not known yet stays empty.
  paint(values, gradients, sample, known, backward, gone) {
    for (const name of this.order) {
      const value = values && this.part(values[name], sample);
      const slope = gradients && gradients[name] && this.part(gradients[name], sample);
      const shown = backward ? slope : value;
      const scale = shown ? Math.max(...shown.map(Math.abs), 1e-12) : 1;
      const count = shown ? shown.length : value ? value.length : 0;
      for (let i = 0; i < count; i++) {
        const cell = this.cells.get(`${name} ${i}`);
        if (!cell) continue;
        const seen = known(name, i, backward), strength = shown && seen ? shown[i] / scale : 0;
        const body = cell.tagName === "rect" ? cell : cell.querySelector("circle");
        body.style.setProperty("--s", Math.abs(strength).toFixed(3));
        body.classList.toggle("neg", strength < 0);
        cell.classList.toggle("unknown", !seen);
        const away = (gone[cell.dataset.group] || []).includes(Number(cell.dataset.neuron));
        cell.classList.toggle("gone", away);
        if (cell.tagName === "rect") continue;
        cell.classList.toggle("strong", Math.abs(strength) > 0.55);
        cell.classList.toggle("strongest", Math.abs(strength) > 0.8);
        const below = cell.querySelector(".g"), inside = below || !backward ? value : slope;
        cell.querySelector(".v").textContent = inside && known(name, i, inside === slope) ? short(inside[i], below ? 3 : 2) : "";
        if (below) below.textContent = slope && backward && known(name, i, true) ? `∂ ${short(slope[i], 2)}` : "";
        cell.classList.toggle("two", Boolean(below && below.textContent));
      }
    }
    for (const tile of this.svg.querySelectorAll(".tile"))
      tile.classList.toggle("gone", (gone[tile.dataset.group] || []).includes(Number(tile.dataset.neuron)));
  }

  // Lines from what a step reads to what it is about, and a ring around that.
  mark(about, reads, backward) {
    this.reads.replaceChildren();
    this.marks.replaceChildren();
    const at = (name, i) => this.cells.get(`${name} ${i}`);
    const own = about && this.place(about), target = own === null ? null : at(about.name, own);
    const ring = (cell, kind) => {
      const round = cell.tagName !== "rect", side = round ? Number(cell.querySelector("circle").getAttribute("r")) + 3.5 : Number(cell.getAttribute("width")) / 2 + 2;
      this.add(this.marks, round ? "circle" : "rect", {
        class: kind,
        ...(round
          ? { cx: cell.dataset.x, cy: cell.dataset.y, r: side }
          : { x: cell.dataset.x - side, y: cell.dataset.y - side, width: 2 * side, height: 2 * side }),
      });
    };
    const read = Object.entries(reads || {}).flatMap(([name, places]) => places.map((i) => [name, i]));
    const cells = read.map(([name, i]) => at(name, i)).filter((cell) => cell && cell !== target);
    this.reads.classList.toggle("many", cells.length > 12);
    this.marks.classList.toggle("many", cells.length > 12);
    const ends = target ? [target] : cells.slice(0, 1);
    for (const cell of cells) {
      ring(cell, "read");
      for (const end of ends) if (cell !== end && cell.dataset.v !== end.dataset.v) this.line(cell, end, backward);
    }
    if (target) ring(target, "about");
    return target || cells[0] || null;
  }

  place(about) {
    if (about.kind !== "value" && about.kind !== "gradient") return null;
    const shape = this.data.values && this.data.values[about.name] && this.data.values[about.name].shape;
    if (!shape || about.index.length !== shape.length) return null;
    return about.index.slice(1).reduce((at, i, axis) => at * shape[axis + 1] + i, 0);
  }

  line(from, to, backward) {
    const [x1, y1, x2, y2] = [from.dataset.x, from.dataset.y, to.dataset.x, to.dataset.y].map(Number);
    const away = (cell) => (cell.tagName === "rect" ? 0 : Number(cell.querySelector("circle").getAttribute("r")) + 3.5);
    const back = x2 < x1 ? -1 : 1, a = x1 + away(from) * back, b = x2 - away(to) * back;
    this.add(this.reads, "path", { class: backward ? "back" : "ahead", d: `M${a} ${y1}C${(a + b) / 2} ${y1} ${(a + b) / 2} ${y2} ${b} ${y2}` });
  }

  add(parent, tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
  }
}

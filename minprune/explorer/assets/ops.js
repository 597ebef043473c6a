"use strict";
// One function per op of the trace's program: (inputs by name, options, shape of the result) -> numbers in row order.
// An array is {shape, data}. Nothing here knows of layers or networks.

const size = (shape) => shape.reduce((a, b) => a * b, 1);
const made = (shape, entry) => Float64Array.from({ length: size(shape) }, (_, i) => entry(i));
const each = (f) => (v, o) => v.x.data.map((x) => f(x, o));
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

// How many numbers lie behind one step along axis 1: an entry i belongs to channel floor(i / inner) % channels.
const inner = (shape) => size(shape.slice(2));
const channel = (shape, i) => Math.floor(i / inner(shape)) % shape[1];

// The places of a multi-dimensional range, each as a list of indices.
function* places(shape) {
  const index = shape.map(() => 0);
  for (let count = size(shape); count > 0; count--) {
    yield index.slice();
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
}

// Where every entry of a window lies on an image, for every place of the result; -1 outside of the image.
function windows(image, result, kernel, o) {
  const dilation = o.dilation || kernel.map(() => 1);
  const entries = [...places(kernel)];
  return [...places(result)].map((place) =>
    entries.map((k) =>
      place.reduce((at, p, axis) => {
        const q = p * o.stride[axis] + k[axis] * dilation[axis] - o.padding[axis];
        return at < 0 || q < 0 || q >= image[axis] ? -1 : at * image[axis] + q;
      }, 0),
    ),
  );
}

function affine(v, o, shape) {
  const { x, W, b } = v, [outs, ins] = W.shape;
  return made(shape, (at) => {
    const n = Math.floor(at / outs), j = at % outs;
    let sum = b ? b.data[j] : 0;
    for (let i = 0; i < ins; i++) sum += W.data[j * ins + i] * x.data[n * ins + i];
    return sum;
  });
}

function conv(v, o, shape) {
  const { x, W, b } = v, [filters, width, ...kernel] = W.shape;
  const seen = windows(x.shape.slice(2), shape.slice(2), kernel, o);
  const area = inner(x.shape), taps = size(kernel), perGroup = filters / o.groups;
  return made(shape, (at) => {
    const p = at % seen.length, f = Math.floor(at / seen.length) % filters;
    const n = Math.floor(at / seen.length / filters), first = Math.floor(f / perGroup) * width;
    let sum = b ? b.data[f] : 0;
    for (let c = 0; c < width; c++)
      for (let k = 0; k < taps; k++)
        if (seen[p][k] >= 0)
          sum += W.data[(f * width + c) * taps + k] * x.data[(n * x.shape[1] + first + c) * area + seen[p][k]];
    return sum;
  });
}

const pool = (join) => (v, o, shape) => {
  const seen = windows(v.x.shape.slice(2), shape.slice(2), o.kernel, o), area = inner(v.x.shape);
  return made(shape, (at) => {
    const window = seen[at % seen.length], start = Math.floor(at / seen.length) * area;
    return join(window.filter((q) => q >= 0).map((q) => v.x.data[start + q]), window.length);
  });
};

const total = (values) => values.reduce((a, b) => a + b, 0);

// For every entry the numbers that share its sample and place, along axis 1.
const alongChannels = (x, at) => {
  const step = inner(x.shape), block = step * x.shape[1];
  const start = Math.floor(at / block) * block + (at % step);
  return Array.from({ length: x.shape[1] }, (_, k) => x.data[start + k * step]);
};
const logSumExp = (values) => {
  const top = Math.max(...values);
  return top + Math.log(total(values.map((value) => Math.exp(value - top))));
};

// Entry by entry; an axis of size 1, or one that is missing in front, is repeated.
const paired = (join) => (v, o, shape) => {
  const reader = (array) => (index) =>
    array.data[array.shape.reduce((at, n, axis) => at * n + (n === 1 ? 0 : index[index.length - array.shape.length + axis]), 0)];
  const a = reader(v.a), b = reader(v.b), found = [];
  for (const index of places(shape)) found.push(join(a(index), b(index)));
  return Float64Array.from(found);
};

const rows = (array) => {
  const [n, k] = array.shape;
  return Array.from({ length: n }, (_, i) => Array.from(array.data.slice(i * k, (i + 1) * k)));
};
const squared = (factor) => (v) => {
  const t = rows(v.t);
  return Float64Array.from(rows(v.y).map((row, n) => total(row.map((y, k) => (y - t[n][k]) ** 2)) * factor(row.length)));
};

function crossEntropy(v) {
  const classes = v.t.shape.length === 1, t = classes ? v.t.data : rows(v.t);
  return Float64Array.from(
    rows(v.y).map((row, n) =>
      classes
        ? logSumExp(row) - row[t[n]]
        : logSumExp(row) * total(t[n]) - total(row.map((y, k) => y * t[n][k])),
    ),
  );
}

// The error function: its series near 0, its continued fraction far out; both to the last digits.
function erf(x) {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x, sum = x;
    for (let n = 1; n < 80; n++) sum += (term *= (-x * x) / n) / (2 * n + 1);
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 80; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

function rearrange(v, o, shape) {
  const own = v.x.shape.slice(1), found = [];
  for (const [n, ...index] of places([v.x.shape[0], ...o.order.map((axis) => own[axis])])) {
    const at = [];
    o.order.forEach((axis, i) => (at[axis] = index[i]));
    found.push(v.x.data[own.reduce((place, n_, axis) => place * n_ + at[axis], n)]);
  }
  return Float64Array.from(found);
}

function pad(v, o, shape) {
  const own = v.x.shape.slice(2), found = [];
  for (const [n, c, ...place] of places(shape)) {
    const at = place.map((p, axis) => p - o.before[axis]);
    const inside = at.every((p, axis) => p >= 0 && p < own[axis]);
    found.push(inside ? v.x.data[at.reduce((q, p, axis) => q * own[axis] + p, n * shape[1] + c)] : o.value);
  }
  return Float64Array.from(found);
}

function concat(v, o, shape) {
  const [a, b] = [v.a, v.b], step = inner(shape);
  return made(shape, (at) => {
    const c = channel(shape, at), n = Math.floor(at / step / shape[1]), p = at % step;
    const [from, k] = c < a.shape[1] ? [a, c] : [b, c - a.shape[1]];
    return from.data[(n * from.shape[1] + k) * step + p];
  });
}

// Over the last two axes; axes before them are repeated as in `paired`.
function matmul(v, o, shape) {
  const { a, b } = v, inside = a.shape.at(-1), found = [];
  const at = (array, index) => array.shape.reduce(
    (sum, n, axis) => sum * n + (n === 1 ? 0 : index[index.length - array.shape.length + axis]), 0);
  for (const index of places(shape)) {
    const front = index.slice(0, -2), [i, j] = index.slice(-2);
    let sum = 0;
    for (let k = 0; k < inside; k++) sum += a.data[at(a, [...front, i, k])] * b.data[at(b, [...front, k, j])];
    found.push(sum);
  }
  return Float64Array.from(found);
}

const OPS = {
  affine,
  conv,
  max_pool: pool((values) => Math.max(...values)),
  avg_pool: pool((values, count) => total(values) / count),
  global_avg_pool: (v, o, shape) => {
    const area = inner(v.x.shape);
    return made(shape, (at) => total(Array.from(v.x.data.slice(at * area, (at + 1) * area))) / area);
  },
  batch_norm_eval: (v, o, shape) =>
    made(shape, (at) => {
      const c = channel(shape, at);
      return (v.gamma.data[c] * (v.x.data[at] - v.mean.data[c])) / Math.sqrt(v.var.data[c] + o.epsilon) + v.beta.data[c];
    }),
  relu: each((x) => Math.max(x, 0)),
  leaky_relu: each((x, o) => (x > 0 ? x : o.slope * x)),
  prelu: (v, o, shape) => made(shape, (at) => v.x.data[at] * (v.x.data[at] > 0 ? 1 : v.a.data[channel(shape, at)])),
  sigmoid: each(sigmoid),
  hard_sigmoid: each((x, o) => Math.min(Math.max(o.slope * x + o.offset, 0), 1)),
  tanh: each(Math.tanh),
  clip: each((x, o) => Math.min(Math.max(x, o.low), o.high)),
  elu: each((x, o) => o.gamma * (x > 0 ? x : o.alpha * Math.expm1(x))),
  gelu: each((x) => (x * (1 + erf(x / Math.SQRT2))) / 2),
  erf: each(erf),
  softplus: each((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  softmax: (v, o, shape) => made(shape, (at) => Math.exp(v.x.data[at] - logSumExp(alongChannels(v.x, at)))),
  log_softmax: (v, o, shape) => made(shape, (at) => v.x.data[at] - logSumExp(alongChannels(v.x, at))),
  reshape: (v) => v.x.data,
  rearrange,
  pad,
  take: (v, o, shape) => {
    const step = inner(shape), width = v.x.shape[1];
    return made(shape, (at) => {
      const n = Math.floor(at / step / shape[1]);
      return v.x.data[(n * width + v.index.data[channel(shape, at)]) * step + (at % step)];
    });
  },
  add: paired((a, b) => a + b),
  mul: paired((a, b) => a * b),
  matmul,
  power: (v, o, shape) => paired(Math.pow)({ a: v.x, b: v.p }, o, shape),
  gate: (v, o, shape) => made(shape, (at) => v.a.data[at] * v.m.data[channel(shape, at)]),
  concat,
  half_squared_error: squared(() => 1 / 2),
  mse: squared((k) => 1 / k),
  cross_entropy: crossEntropy,
  mean: (v) => Float64Array.of(total(Array.from(v.x.data)) / v.x.data.length),
};

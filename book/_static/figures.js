/* Interactive figures that need no kernel and no server: plain JavaScript, drawn as SVG.
 *
 * A page asks for one by <figure class="ck-interactive" data-figure="kde">...</figure>. The data come from
 * figure_data.js, written by the build. Each figure lists its controls and draws from their values; what it
 * shows is kept in figure.shown, where the browser tests compare it with the Python package. */
(function () {
  "use strict";

  const data = window.courseFigures;
  const SVG = "http://www.w3.org/2000/svg";

  // --- arithmetic -------------------------------------------------------------------------------------

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const range = (n, f) => Array.from({ length: n }, (_, i) => f(i));
  const grid = (low, high, n) => range(n, (i) => low + ((high - low) * i) / (n - 1));
  const trapezoid = (x, y) => sum(x.slice(1).map((b, i) => ((b - x[i]) * (y[i] + y[i + 1])) / 2));
  const normal = (u) => Math.exp(-0.5 * u * u) / Math.sqrt(2 * Math.PI);

  // Normal distribution function: the series near the middle, a continued fraction in the tails.
  function normalCdf(u) {
    const z = Math.abs(u);
    let upper;
    if (z < 4) {
      let term = z;
      let series = z;
      for (let k = 1; k < 120; k++) {
        term *= (z * z) / (2 * k + 1);
        series += term;
      }
      upper = 0.5 - series * normal(z);
    } else {
      let fraction = z;
      for (let k = 60; k > 0; k--) fraction = z + k / fraction;
      upper = normal(z) / fraction;
    }
    return u > 0 ? 1 - upper : upper;
  }

  const mixture = (f) => (x) => sum(data.law.weights.map((w, j) => w * f((x - data.law.means[j]) / data.law.stds[j], j)));
  const truePdf = mixture((u, j) => normal(u) / data.law.stds[j]);
  const trueCdf = mixture(normalCdf);

  const KERNELS = {
    gaussian: normal,
    epanechnikov: (u) => (Math.abs(u) <= 1 ? 0.75 * (1 - u * u) : 0),
    box: (u) => (Math.abs(u) <= 1 ? 0.5 : 0),
  };

  function kernelDensity(x, h, kernel) {
    const K = KERNELS[kernel];
    return sum(data.sample.map((s) => K((x - s) / h))) / (data.sample.length * h);
  }

  function binCounts(bins) {
    const [low, high] = data.bounds;
    const counts = range(bins, () => 0);
    for (const s of data.sample) counts[Math.min(bins - 1, Math.floor(((s - low) * bins) / (high - low)))] += 1;
    return counts;
  }

  function risks(bins) {
    const n = data.sample.length;
    const h = (data.bounds[1] - data.bounds[0]) / bins;
    const squares = sum(binCounts(bins).map((c) => (c / n) ** 2));
    return { inSample: -squares / h, leaveOneOut: 2 / ((n - 1) * h) - ((n + 1) / ((n - 1) * h)) * squares };
  }

  function neighbourDensity(x, k) {
    const distances = data.sample.map((s) => Math.abs(x - s)).sort((a, b) => a - b);
    return (k - 1) / (2 * data.sample.length * distances[k - 1]);
  }

  // Mass on [-W, W] in closed form: between two changes of neighbours the radius is the distance to one point.
  function neighbourMass(k, W) {
    const s = data.sample;
    const n = s.length;
    let logs = 0;
    for (let i = 0; i + k <= n; i++) {
      const [left, right] = [s[i], s[i + k - 1]];
      const from = i === 0 ? -W : (s[i - 1] + s[i + k - 1]) / 2;
      const to = i + k === n ? W : (s[i] + s[i + k]) / 2;
      const middle = (left + right) / 2;
      logs += Math.log((right - from) / (right - middle)) + Math.log((to - left) / (middle - left));
    }
    return ((k - 1) / (2 * n)) * logs;
  }

  const total = sum(data.train);
  const cumulative = data.train.map((_, i) => sum(data.train.slice(0, i + 1)) / total);
  const LAWS = {
    continuous: { F: trueCdf, bounds: [-4, 5], points: [] },
    atoms: {
      F: (x) => sum(data.train.filter((_, i) => data.states[i] <= x)) / total,
      bounds: [2, 8],
      points: data.states.filter((_, i) => data.train[i] > 0),
    },
    flat: { F: (x) => 0.5 * Math.min(1, Math.max(0, x)) + 0.5 * Math.min(1, Math.max(0, x - 2)), bounds: [-0.5, 3.5], points: [] },
  };

  // inf {x : F(x) >= u}: of a step function the first step that reaches u; else by bisection.
  function generalizedInverse(law, u) {
    if (law === "atoms") return data.states[cumulative.findIndex((value) => value >= u)];
    let [low, high] = [-50, 50];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (LAWS[law].F(middle) >= u) high = middle;
      else low = middle;
    }
    return high;
  }

  function smoothed(alpha) {
    const n = total + alpha * data.states.length;
    return data.train.map((count) => (count + alpha) / n);
  }

  // The autoencoder's decoder: one hidden layer of SiLU, a sigmoid for each of the 64 pixels.
  function decode(z) {
    const { w1, b1, w2, b2 } = data.autoencoder;
    const inner = b1.map((b, j) => b + w1[j][0] * z[0] + w1[j][1] * z[1]).map((t) => t / (1 + Math.exp(-t)));
    return b2.map((b, i) => 1 / (1 + Math.exp(-b - sum(inner.map((h, j) => w2[i][j] * h)))));
  }

  function logLoss(probabilities) {
    const n = sum(data.heldOut);
    return -sum(data.heldOut.map((count, i) => (count ? (count / n) * Math.log(probabilities[i]) : 0)));
  }

  // A network of tanh layers with a logistic function at its end: value and derivative at x.
  function network({ loc, scale, layers }, x) {
    let [value, slope] = [[(x - loc) / scale], [1 / scale]];
    for (let l = 0; l < layers.length; l += 2) {
      const apply = (inputs, j) => sum(layers[l][j].map((w, i) => w * inputs[i]));
      const last = l + 2 === layers.length;
      const next = layers[l + 1].map((b, j) => b + apply(value, j));
      const slopes = layers[l + 1].map((b, j) => apply(slope, j));
      value = last ? next : next.map(Math.tanh);
      slope = last ? slopes : slopes.map((s, j) => s * (1 - value[j] * value[j]));
    }
    const H = 1 / (1 + Math.exp(-value[0]));
    return { H, h: H * (1 - H) * slope[0] };
  }

  // One draw of the logistic autoregression: bit i is one where its coin falls below its chance given the bits before.
  function drawDigit(draw) {
    const { intercepts, weights, coins } = data.digitChain;
    const bits = [];
    const chances = [];
    intercepts.forEach((intercept, i) => {
      const logit = intercept + sum(weights[i].map((w, j) => w * bits[j]));
      chances.push(1 / (1 + Math.exp(-logit)));
      bits.push(coins[draw][i] < chances[i] ? 1 : 0);
    });
    return { bits, chances };
  }

  // A decoder's layers, with x / (1 + exp(-x)) between them: probabilities of ink, pixel by pixel.
  function decodeLayers(z, layers = data.decoder.layers) {
    const affine = (layer, input) => layer.weight.map((row, i) => layer.bias[i] + sum(row.map((w, j) => w * input[j])));
    const logistic = (x) => 1 / (1 + Math.exp(-x));
    const last = layers.length - 1;
    return layers.reduce((x, layer, i) => affine(layer, x).map((y) => (i < last ? y * logistic(y) : logistic(y))), z);
  }

  // Two affine maps [a, b, x; c, d, y] one after the other: first `right`, then `left`.
  function composeMaps(left, right) {
    return left.map(([a, b, t]) => [0, 1, 2].map((k) => a * right[0][k] + b * right[1][k] + (k === 2 ? t : 0)));
  }

  // A square image moved by an affine map in half-widths, right and up: each pixel looks back, between four others.
  function warpImage(pixels, [[a, b, x], [c, d, y]]) {
    const side = Math.round(Math.sqrt(pixels.length));
    const area = a * d - b * c;
    const at = (i, j) => (i >= 0 && i < side && j >= 0 && j < side ? pixels[i * side + j] : 0);
    return pixels.map((_, index) => {
      const u = (2 * (index % side) + 1) / side - 1 - x;
      const v = 1 - (2 * Math.floor(index / side) + 1) / side - y;
      const column = (((d * u - b * v) / area + 1) * side - 1) / 2;
      const row = ((1 - (a * v - c * u) / area) * side - 1) / 2;
      const [left, top] = [Math.floor(column), Math.floor(row)];
      const [p, q] = [column - left, row - top];
      const upper = (1 - p) * at(top, left) + p * at(top, left + 1);
      const lower = (1 - p) * at(top + 1, left) + p * at(top + 1, left + 1);
      return (1 - q) * upper + q * lower;
    });
  }

  // Nats lost on N(0, I) in d dimensions when all but the share `kept` of a model's samples come from N(0, 9 I):
  // the mean of -log(kept + noise / truth) over the length r of a draw, whose density is r^(d-1) exp(-r^2 / 2).
  function noiseCost(kept, d) {
    const [n, low, high] = [8000, Math.max(0, Math.sqrt(d) - 10), Math.sqrt(d) + 10];
    const at = range(n, (i) => low + ((i + 0.5) * (high - low)) / n);
    const logWeights = at.map((r) => (d - 1) * Math.log(r) - (r * r) / 2);
    const top = logWeights.reduce((a, b) => Math.max(a, b));
    const weights = logWeights.map((w) => Math.exp(w - top));
    const costs = at.map((r) => -Math.log(kept + (1 - kept) * Math.exp((4 / 9) * r * r - d * Math.log(3))));
    return sum(costs.map((cost, i) => cost * weights[i])) / sum(weights);
  }

  // --- drawing ----------------------------------------------------------------------------------------

  function add(parent, name, attributes, text) {
    const node = parent.namespaceURI === SVG || name === "svg" ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.appendChild(node);
    return node;
  }

  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const first = Math.ceil(low / step - 1e-9);
    return range(Math.floor(high / step + 1e-9) - first + 1, (i) => (first + i) * step);
  }

  const number = (value) => (Number.isInteger(value) ? String(value) : Number(value.toPrecision(3)).toString()).replace("-", "−");

  /* Axes with functions that draw into them, in the units of the data. */
  function axes(svg, box, xlim, ylim, labels) {
    const X = (x) => box.left + ((x - xlim[0]) / (xlim[1] - xlim[0])) * (box.right - box.left);
    const Y = (y) => box.bottom - ((y - ylim[0]) / (ylim[1] - ylim[0])) * (box.bottom - box.top);
    const clamp = (y) => Math.min(Math.max(y, ylim[0]), ylim[1]);
    const group = add(svg, "g", { class: "ck-axis" });
    add(group, "path", { d: `M${box.left},${box.top}V${box.bottom}H${box.right}` });
    for (const x of labels.xticks || ticks(...xlim, 6)) {
      add(group, "line", { x1: X(x), x2: X(x), y1: box.bottom, y2: box.bottom + 4 });
      const text = labels.xformat ? labels.xformat(x) : number(x);
      add(group, "text", { x: X(x), y: box.bottom + 17, "text-anchor": "middle" }, text);
    }
    for (const y of ticks(...ylim, 4)) {
      add(group, "line", { x1: box.left - 4, x2: box.left, y1: Y(y), y2: Y(y) });
      add(group, "text", { x: box.left - 7, y: Y(y) + 4, "text-anchor": "end" }, number(y));
    }
    add(group, "text", { x: box.right, y: box.bottom + 34, "text-anchor": "end" }, labels.x);
    add(group, "text", { x: box.left + 6, y: box.top + 4 }, labels.y);
    return {
      curve: (x, y, style) => {
        const points = x.map((value, i) => `${X(value).toFixed(2)},${Y(clamp(y[i])).toFixed(2)}`);
        return add(svg, "path", { class: style, d: "M" + points.join("L") });
      },
      bar: (from, to, height, style) =>
        add(svg, "rect", {
          class: style,
          x: X(from),
          y: Y(Math.max(height, 0)),
          width: Math.max(X(to) - X(from), 0.5),
          height: Math.max(Y(0) - Y(height), 0),
        }),
      line: (x1, y1, x2, y2, style) => add(svg, "line", { class: style, x1: X(x1), y1: Y(y1), x2: X(x2), y2: Y(y2) }),
      dot: (x, y, style) => add(svg, "circle", { class: style, cx: X(x), cy: Y(clamp(y)), r: 4.5 }),
      rug: (values) => {
        for (const value of values) add(svg, "line", { class: "ck-rug", x1: X(value), x2: X(value), y1: box.bottom - 7, y2: box.bottom });
      },
    };
  }

  /* Two plots on top of each other share one drawing. */
  const panel = (width, row, height) => ({ left: 46, right: width - 12, top: row + 14, bottom: row + height - 42 });

  // Sixteen hexadecimal digits as 64 bits, first pixel first.
  const bits = (hex) => [...hex].flatMap((digit) => range(4, (i) => (parseInt(digit, 16) >> (3 - i)) & 1));

  // --- the figures ------------------------------------------------------------------------------------

  const TRUE = ["ck-truth", "true density"];
  const SAMPLE = ["ck-rug", `sample, n = ${data.sample.length}`];

  const FIGURES = {
    kde: {
      plot: "A kernel density estimate, the true density and the sample as ticks on the axis.",
      height: 300,
      legend: [["ck-model", "estimate"], TRUE, SAMPLE],
      controls: [
        { name: "bandwidth", label: "Bandwidth h", min: -1.5, max: 0.5, step: 0.05, value: -0.4, read: (v) => 10 ** v, show: number },
        { name: "kernel", label: "Kernel", options: { gaussian: "Gaussian", epanechnikov: "Epanechnikov", box: "box" } },
      ],
      draw(svg, width, { bandwidth, kernel }) {
        const x = grid(data.bounds[0], data.bounds[1], 401);
        const y = x.map((value) => kernelDensity(value, bandwidth, kernel));
        const truth = x.map(truePdf);
        const plot = axes(svg, panel(width, 0, 300), data.bounds, [0, 0.8], { x: "x", y: "density" });
        plot.rug(data.sample);
        plot.curve(x, truth, "ck-truth");
        plot.curve(x, y, "ck-model");
        const ise = trapezoid(x, y.map((value, i) => (value - truth[i]) ** 2));
        const peaks = y.filter((value, i) => i > 0 && value > y[i - 1] + 1e-9 && value >= (y[i + 1] ?? 0)).length;
        const text = `Bandwidth ${number(bandwidth)}: integrated squared error ${number(ise)}, ${peaks} peak${peaks === 1 ? "" : "s"}.`;
        return { text, shown: { x, y, ise } };
      },
    },

    histogram: {
      plot: "Above, a histogram and the true density; below, two risks against the number of bins.",
      height: 480,
      legend: [["ck-bar", "histogram"], TRUE, SAMPLE, ["ck-other", "in-sample risk"], ["ck-model", "leave-one-out risk"]],
      controls: [{ name: "bins", label: "Number of bins", min: 1, max: 80, step: 1, value: 14, show: String }],
      draw(svg, width, { bins }) {
        const [low, high] = data.bounds;
        const h = (high - low) / bins;
        const heights = binCounts(bins).map((count) => count / (data.sample.length * h));
        const upper = axes(svg, panel(width, 0, 270), data.bounds, [0, 0.8], { x: "x", y: "density" });
        heights.forEach((height, j) => upper.bar(low + j * h, low + (j + 1) * h, Math.min(height, 0.8), "ck-bar"));
        upper.rug(data.sample);
        const x = grid(low, high, 401);
        upper.curve(x, x.map(truePdf), "ck-truth");
        const all = range(80, (i) => risks(i + 1));
        const lower = axes(svg, panel(width, 270, 210), [0, 80], [-0.5, 0], { x: "number of bins", y: "risk" });
        const numbers = range(80, (i) => i + 1);
        lower.curve(numbers, all.map((risk) => risk.inSample), "ck-other");
        lower.curve(numbers, all.map((risk) => risk.leaveOneOut), "ck-model");
        lower.line(bins, -0.5, bins, 0, "ck-guide");
        const { inSample, leaveOneOut } = all[bins - 1];
        lower.dot(bins, inSample, "ck-other");
        lower.dot(bins, leaveOneOut, "ck-model");
        const best = all.reduce((b, risk, i) => (risk.leaveOneOut < all[b].leaveOneOut ? i : b), 0) + 1;
        const text =
          `${bins} bin${bins === 1 ? "" : "s"} of width ${number(h)}: in-sample risk ${number(inSample)}, ` +
          `leave-one-out risk ${number(leaveOneOut)}. Leave-one-out is least at ${best} bins; in-sample falls on and on.`;
        const centres = range(bins, (j) => low + (j + 0.5) * h);
        return { text, shown: { x: centres, y: heights, inSample, leaveOneOut } };
      },
    },

    knn: {
      plot: "Above, a nearest-neighbour estimate and the true density; below, its mass on growing windows.",
      height: 480,
      legend: [["ck-model", "estimate"], TRUE, SAMPLE],
      controls: [{ name: "neighbors", label: "Neighbours k", min: 2, max: 80, step: 1, value: 12, show: String }],
      draw(svg, width, { neighbors }) {
        const x = grid(data.bounds[0] - 2, data.bounds[1] + 2, 601);
        const y = x.map((value) => neighbourDensity(value, neighbors));
        const upper = axes(svg, panel(width, 0, 270), [x[0], x[600]], [0, 0.8], { x: "x", y: "density" });
        upper.rug(data.sample);
        upper.curve(x, x.map(truePdf), "ck-truth");
        upper.curve(x, y, "ck-model");
        const mass = data.windows.map((window) => neighbourMass(neighbors, window));
        const decades = data.windows.map(Math.log10);
        const top = Math.max(2, Math.ceil(mass[mass.length - 1]));
        const lower = axes(svg, panel(width, 270, 210), [0.5, 6.5], [0, top], {
          x: "window from −W to W",
          y: "mass on the window",
          xticks: decades,
          xformat: (d) => `10${"⁰¹²³⁴⁵⁶"[d]}`,
        });
        lower.line(0.5, 1, 6.5, 1, "ck-guide");
        decades.forEach((d, i) => lower.bar(d - 0.3, d + 0.3, mass[i], "ck-bar"));
        const step = ((neighbors - 1) / data.sample.length) * Math.LN10;
        const text =
          `k = ${neighbors}: mass ${number(mass[0])} on ±10, ${number(mass[2])} on ±1000, ${number(mass[5])} on ±1000000. ` +
          `Each factor ten adds (k − 1)/n · ln 10 = ${number(step)}, for ever.`;
        return { text, shown: { x, y, mass } };
      },
    },

    mixture: {
      plot: "Above, the components of a mixture, their sum and the true density; below, the log-likelihood by round.",
      height: 480,
      legend: [["ck-model", "mixture"], ["ck-other", "components"], TRUE, SAMPLE],
      controls: [
        { name: "rounds", label: "Rounds of EM", min: 1, max: 40, step: 1, value: 1, show: String },
        { name: "components", label: "Components K", options: { 2: "2, as many as there are", 3: "3, one too many", 5: "5" } },
      ],
      draw(svg, width, { rounds, components }) {
        const frames = data.em[components];
        const frame = frames[rounds - 1];
        const part = (f, j) => (x) => (f.weights[j] * normal((x - f.means[j]) / f.stds[j])) / f.stds[j];
        const density = (f) => (x) => sum(f.weights.map((_, j) => part(f, j)(x)));
        const x = grid(data.bounds[0], data.bounds[1], 401);
        const y = x.map(density(frame));
        const upper = axes(svg, panel(width, 0, 280), data.bounds, [0, 0.8], { x: "x", y: "density" });
        upper.rug(data.sample);
        upper.curve(x, x.map(truePdf), "ck-truth");
        frame.weights.forEach((_, j) => upper.curve(x, x.map(part(frame, j)), "ck-other"));
        upper.curve(x, y, "ck-model");
        const scores = frames.map((f) => sum(data.sample.map((s) => Math.log(density(f)(s)))) / data.sample.length);
        const low = Math.floor(scores[0] * 20) / 20;
        const high = Math.ceil(scores[scores.length - 1] * 20) / 20;
        const lower = axes(svg, panel(width, 280, 200), [1, 40], [low, high], { x: "round", y: "nats per row" });
        lower.curve(range(40, (i) => i + 1), scores, "ck-model");
        lower.dot(rounds, scores[rounds - 1], "ck-model");
        const gain = rounds > 1 ? `, ${number(scores[rounds - 1] - scores[rounds - 2])} more than a round before` : "";
        const means = frame.means.map((m) => number(Number(m.toFixed(2)))).join(", ");
        const text = `Round ${rounds}: ${scores[rounds - 1].toFixed(4).replace("-", "−")} nats per row${gain}. Means ${means}.`;
        return { text, shown: { x, y, score: scores[rounds - 1] } };
      },
    },

    inverse_cdf: {
      plot: "A distribution function, with a line from the level u across to the function and down to the quantile.",
      height: 320,
      legend: [["ck-model", "distribution function F"], ["ck-guide", "from u to its quantile"]],
      controls: [
        { name: "level", label: "Level u", min: 0.01, max: 0.99, step: 0.01, value: 0.3, show: (v) => v.toFixed(2) },
        { name: "law", label: "Law", options: { continuous: "continuous", atoms: "with atoms (integers)", flat: "with a flat stretch" } },
      ],
      draw(svg, width, { level, law }) {
        const { F, bounds, points } = LAWS[law];
        const plot = axes(svg, panel(width, 0, 320), bounds, [0, 1], { x: "x", y: "F(x)" });
        const x = grid(bounds[0], bounds[1], 401);
        if (points.length) {
          const ends = [bounds[0], ...points, bounds[1]];
          for (let i = 0; i + 1 < ends.length; i++) plot.curve([ends[i], ends[i + 1]], [F(ends[i]), F(ends[i])], "ck-model");
          for (const p of points) plot.dot(p, F(p), "ck-model");
        } else {
          plot.curve(x, x.map(F), "ck-model");
        }
        const quantile = generalizedInverse(law, level);
        plot.line(bounds[0], level, quantile, level, "ck-guide");
        plot.line(quantile, level, quantile, 0, "ck-guide");
        plot.dot(quantile, 0, "ck-point");
        const text = `u = ${level.toFixed(2)}: the smallest x with F(x) ≥ u is ${number(quantile)}.`;
        return { text, shown: { x: quantile } };
      },
    },

    what_is: {
      plot: "Bars: the probability of each integer from 3 to 8, beside its share of the sample.",
      height: 300,
      legend: [["ck-bar", "smoothed probability"], ["ck-other", "share of the twenty numbers"]],
      controls: [{ name: "alpha", label: "Smoothing α", min: 0, max: 5, step: 0.1, value: 1, show: (v) => v.toFixed(1) }],
      draw(svg, width, { alpha }) {
        const probabilities = smoothed(alpha);
        const plot = axes(svg, panel(width, 0, 300), [2.4, 8.6], [0, 0.5], { x: "integer", y: "probability", xticks: data.states });
        data.states.forEach((state, i) => {
          plot.bar(state - 0.36, state, probabilities[i], "ck-bar");
          plot.bar(state + 0.04, state + 0.36, data.train[i] / total, "ck-other");
        });
        const loss = logLoss(probabilities);
        const text =
          `α = ${alpha.toFixed(1)}: P(7) = ${number(probabilities[4])}, P(8) = ${number(probabilities[5])}; ` +
          `log-loss on the second sample ${Number.isFinite(loss) ? number(loss) + " nats" : "infinite, because it holds an 8"}.`;
        return { text, shown: { x: data.states, y: probabilities, logLoss: loss } };
      },
    },

    denoising: {
      plot: "Three images of eight by eight pixels: a state of the chain, its corrupted version, and the next state. Changed pixels have a frame.",
      height: 250,
      legend: [["ck-ink", "ink"], ["ck-other", "changed since the image on its left"]],
      controls: [
        { name: "step", label: "Step t", min: 0, max: 39, step: 1, value: 0, show: String },
        {
          name: "chain",
          label: "Training",
          options: {
            "plain-0.02": "plain, q = 0.02",
            "walkback-0.02": "walkback, q = 0.02",
            "plain-0.25": "plain, q = 0.25",
            "walkback-0.25": "walkback, q = 0.25",
          },
        },
      ],
      draw(svg, width, { step, chain }) {
        const [clean, corrupted, repaired] = [0, 1, 2].map((i) => bits(data.chains[chain][2 * step + i]));
        const side = Math.min((width - 48) / 3, 200);
        const names = ["X at t, reported", "corrupted", "X at t + 1, reported"];
        [clean, corrupted, repaired].forEach((image, i) => {
          const left = (width - 3 * side - 32) / 2 + i * (side + 16);
          const cell = side / 8;
          const before = [clean, clean, corrupted][i];
          add(svg, "rect", { class: "ck-paper", x: left, y: 28, width: side, height: side });
          const place = (j, inset) => ({ x: left + (j % 8) * cell + inset, y: 28 + Math.floor(j / 8) * cell + inset, width: cell - 2 * inset, height: cell - 2 * inset });
          image.forEach((bit, j) => bit && add(svg, "rect", { class: "ck-ink", ...place(j, 0) }));
          image.forEach((bit, j) => bit !== before[j] && add(svg, "rect", { class: "ck-other", ...place(j, 1.5) }));
          const label = add(svg, "g", { class: "ck-axis" });
          add(label, "text", { x: left + side / 2, y: 18, "text-anchor": "middle" }, width < 480 ? ["X", "corrupted", "next X"][i] : names[i]);
        });
        const differ = (a, b) => sum(a.map((bit, j) => Number(bit !== b[j])));
        const changed = differ(clean, corrupted);
        const moved = differ(clean, repaired);
        const text = `Step ${step}: the corruption changed ${changed} of 64 pixels; after the repair ${moved} differ from the state before.`;
        return { text, shown: { clean, corrupted, repaired, changed, moved } };
      },
    },

    wgan: {
      plot: "Above, two strips of equal mass, one of them shifted; below, two distances between them against the shift.",
      height: 400,
      legend: [["ck-truth", "law p"], ["ck-model", "above, law q; below, Wasserstein distance"], ["ck-other", "Jensen-Shannon divergence"]],
      controls: [
        { name: "shift", label: "Shift θ", min: -2, max: 2, step: 0.05, value: 0.4, show: (v) => v.toFixed(2).replace("-", "−") },
        { name: "strip", label: "Width w", options: { 0: "0: two lines", 0.5: "0.5", 1: "1" } },
      ],
      draw(svg, width, { shift, strip }) {
        const w = Number(strip);
        const distances = (t) => {
          const tv = t === 0 ? 0 : w === 0 ? 1 : Math.min(1, Math.abs(t) / w);
          return { kl: t === 0 ? 0 : Infinity, js: tv * Math.LN2, tv, w1: Math.abs(t) };
        };
        const upper = axes(svg, panel(width, 0, 160), [-2.1, 3.1], [0, 2.2], { x: "x", y: "density" });
        const edge = (at, style) =>
          w === 0 ? upper.curve([at, at], [0, 2], style) : upper.curve([at, at, at + w, at + w], [0, 1 / w, 1 / w, 0], style);
        edge(0, "ck-truth");
        edge(shift, "ck-model");
        const lower = axes(svg, panel(width, 160, 240), [-2, 2], [0, 2], { x: "shift θ", y: "nats, or units of x" });
        const x = grid(-2, 2, 401);
        const parts = w === 0 ? [x.filter((t) => t < -1e-9), x.filter((t) => t > 1e-9)] : [x];
        for (const part of parts) lower.curve(part, part.map((t) => distances(t).js), "ck-other");
        lower.curve([-2, 0, 2], [2, 0, 2], "ck-model");
        const found = distances(shift);
        lower.line(shift, 0, shift, 2, "ck-guide");
        lower.dot(shift, found.js, "ck-other");
        lower.dot(shift, found.w1, "ck-model");
        const slope = found.js > 0 && found.js < Math.LN2 ? number(Math.LN2 / w) : "0";
        const text =
          `θ = ${shift.toFixed(2).replace("-", "−")}: Wasserstein ${number(found.w1)}, Jensen-Shannon ${number(found.js)} nats ` +
          `with slope ${shift === 0 ? "undefined" : slope} in |θ|, KL ${shift === 0 ? "0" : "infinite"}.`;
        return { text, shown: found };
      },
    },

    autoregressive: {
      plot: "Above, an image of 8 by 8 pixels, filled in row by row; below, the chance of ink for each pixel so far.",
      height: 500,
      legend: [["ck-other", "ink"], ["ck-bar", "chance of ink, given the pixels before"]],
      controls: [
        { name: "pixels", label: "Pixels drawn", min: 1, max: 64, step: 1, value: 28, show: String },
        { name: "draw", label: "Draw", options: { 0: "first", 1: "second", 2: "third", 3: "fourth", 4: "fifth", 5: "sixth" } },
      ],
      draw(svg, width, { pixels, draw }) {
        const { bits, chances } = drawDigit(draw);
        const side = 30;
        const left = (width - 8 * side) / 2;
        range(64, (i) => {
          const kind = i >= pixels ? "ck-pixel" : bits[i] ? "ck-pixel ck-ink" : "ck-pixel ck-paper";
          const last = i === pixels - 1 ? " ck-current" : "";
          const place = { x: left + (i % 8) * side, y: 8 + Math.floor(i / 8) * side, width: side - 2, height: side - 2 };
          add(svg, "rect", { class: kind + last, ...place });
        });
        const plot = axes(svg, panel(width, 260, 240), [0, 65], [0, 1], { x: "pixel, row by row", y: "chance of ink" });
        const surprises = range(pixels, (i) => -Math.log(bits[i] ? chances[i] : 1 - chances[i]));
        surprises.forEach((_, i) => plot.bar(i + 0.6, i + 1.4, chances[i], bits[i] ? "ck-other" : "ck-bar"));
        const surprise = sum(surprises);
        const last = chances[pixels - 1];
        const text =
          `Pixel ${pixels}: chance of ink ${number(last)}, drawn ${bits[pixels - 1] ? "ink" : "paper"}. ` +
          `Surprise so far ${number(surprise)} nats.`;
        return { text, shown: { bits: bits.slice(0, pixels), y: chances.slice(0, pixels), surprise } };
      },
    },
  };

  FIGURES.neural_cdf = {
    plot: "Above, a fitted distribution function; below, its derivative, which may be negative.",
    height: 480,
    legend: [["ck-model", "network"], ["ck-rug", "sample, n = 30"], ["ck-guide", "zero"]],
    controls: [
      {
        name: "weight", label: "Weight λ", min: 0, max: data.clumps.lambda.length - 1, step: 1, value: 0,
        show: (i) => String(data.clumps.lambda[i]),
      },
    ],
    draw(svg, width, { weight }) {
      const x = grid(-5, 5, 501);
      const points = x.map((value) => network(data.clumps.nets[weight], value));
      const [y, density] = [points.map((point) => point.H), points.map((point) => point.h)];
      const upper = axes(svg, panel(width, 0, 240), [-5, 5], [0, 1], { x: "x", y: "H(x)" });
      for (const s of data.clumps.sample) upper.line(s, 0, s, 0.04, "ck-rug");
      upper.curve(x, y, "ck-model");
      const lower = axes(svg, panel(width, 240, 240), [-5, 5], [-0.4, 1.2], { x: "x", y: "derivative" });
      lower.line(-5, 0, 5, 0, "ck-guide");
      lower.curve(x, density, "ck-model");
      const negative = density.filter((value) => value < 0).length / density.length;
      const least = Math.min(...density);
      const text =
        `λ = ${data.clumps.lambda[weight]}: the derivative is negative on ${(100 * negative).toFixed(1)} % of the range; ` +
        `its smallest value is ${least.toPrecision(2).replace("-", "−")}.`;
      return { text, shown: { x, y, density, negative } };
    },
  };

  FIGURES.autoencoder = {
    plot: "Left, the codes of three hundred digits in a plane, each drawn as its label, and the chosen code. Right, its decoded image.",
    height: 330,
    legend: [["ck-point", "the chosen code"]],
    controls: [
      { name: "first", label: "First number of the code", min: -2.5, max: 2.5, step: 0.1, value: 0.5, show: (v) => v.toFixed(1) },
      { name: "second", label: "Second number", min: -2.5, max: 2.5, step: 0.1, value: 0, show: (v) => v.toFixed(1) },
    ],
    draw(svg, width, { first, second }) {
      const { codes, labels } = data.autoencoder;
      const box = { left: 40, right: Math.min(0.62 * width, 330), top: 14, bottom: 288 };
      const X = (x) => box.left + ((x + 2.7) / 5.4) * (box.right - box.left);
      const Y = (y) => box.bottom - ((y + 2.7) / 5.4) * (box.bottom - box.top);
      const inside = (z) => Math.max(Math.abs(z[0]), Math.abs(z[1])) < 2.7;
      codes.forEach((z, i) => {
        if (inside(z)) add(svg, "text", { class: "ck-code", x: X(z[0]), y: Y(z[1]) + 4, "text-anchor": "middle" }, labels[i]);
      });
      const plot = axes(svg, box, [-2.7, 2.7], [-2.7, 2.7], { x: "first", y: "" });
      plot.dot(first, second, "ck-point");
      const pixels = decode([first, second]);
      const side = Math.min((width - box.right - 24) / 8, 20);
      pixels.forEach((p, i) => {
        const place = { x: box.right + 16 + side * (i % 8), y: 40 + side * Math.floor(i / 8), width: side + 0.3, height: side + 0.3 };
        add(svg, "rect", { class: "ck-shade", ...place, "fill-opacity": p.toFixed(3) });
      });
      add(svg, "rect", { class: "ck-frame", x: box.right + 16, y: 40, width: 8 * side, height: 8 * side });
      const distances = codes.map((z) => Math.hypot(z[0] - first, z[1] - second));
      const near = distances.indexOf(Math.min(...distances));
      const text =
        `Code (${first.toFixed(1)}, ${second.toFixed(1)}): the nearest code of an image is ${distances[near].toFixed(2)} away, ` +
        `and that image is a ${labels[near]}.`;
      // A click in the plane moves the sliders.
      const pick = (x, y) => ({ first: ((x - box.left) / (box.right - box.left)) * 5.4 - 2.7, second: ((box.bottom - y) / (box.bottom - box.top)) * 5.4 - 2.7 });
      return { text, shown: { y: pixels, distance: distances[near] }, pick };
    },
  };

  /* The latent plane is a square on the left; the digit stands beside it, or below on a phone. */
  const REACH = 3.2;
  function latentBoxes(width) {
    const side = Math.min(width - 58, 300);
    const plane = { left: 46, right: 46 + side, top: 14, bottom: 14 + side };
    const beside = width >= side + 230;
    const digit = beside
      ? { left: plane.right + 34, top: 44, cell: 20 }
      : { left: 46, top: plane.bottom + 58, cell: 20 };
    return { plane, digit, height: beside ? plane.bottom + 46 : digit.top + 8 * digit.cell + 16 };
  }

  // Two images of sixteen pixels side by side.
  function posedBoxes(width) {
    const cell = Math.min((width - 36) / 32, 15);
    return { cell, left: [6, 24 + 16 * cell] };
  }
  const signed = (v) => (Math.abs(v) < 5e-3 ? "0.00" : `${v > 0 ? "+" : "−"}${Math.abs(v).toFixed(2)}`);

  FIGURES.vae = {
    plot: "The latent plane with a movable point among encoded test digits, and the digit that the decoder draws there.",
    height: (width) => latentBoxes(width).height,
    legend: [["ck-point", "your point: drag it, or move the sliders"], ["ck-truth", "one and two standard deviations of the prior"]],
    controls: [
      { name: "z1", label: "Latent z₁", min: -3, max: 3, step: 0.05, value: 0.5, show: (v) => v.toFixed(2).replace("-", "−") },
      { name: "z2", label: "Latent z₂", min: -3, max: 3, step: 0.05, value: 0.5, show: (v) => v.toFixed(2).replace("-", "−") },
    ],
    drag(x, y, width) {
      const { plane } = latentBoxes(width);
      const z = (share) => Math.min(3, Math.max(-3, REACH * (2 * share - 1)));
      return { z1: z((x - plane.left) / (plane.right - plane.left)), z2: z((plane.bottom - y) / (plane.bottom - plane.top)) };
    },
    draw(svg, width, { z1, z2 }) {
      const { plane, digit } = latentBoxes(width);
      const plot = axes(svg, plane, [-REACH, REACH], [-REACH, REACH], { x: "z₁", y: "z₂" });
      const X = (x) => plane.left + ((x + REACH) / (2 * REACH)) * (plane.right - plane.left);
      const Y = (y) => plane.bottom - ((y + REACH) / (2 * REACH)) * (plane.bottom - plane.top);
      for (const radius of [1, 2]) {
        const turn = grid(0, 2 * Math.PI, 90);
        plot.curve(turn.map((t) => radius * Math.cos(t)), turn.map((t) => radius * Math.sin(t)), "ck-truth");
      }
      data.decoder.means.forEach(([a, b], i) => {
        if (Math.max(Math.abs(a), Math.abs(b)) < REACH)
          add(svg, "text", { class: "ck-code", x: X(a), y: Y(b) + 4, "text-anchor": "middle" }, String(data.decoder.labels[i]));
      });
      plot.dot(z1, z2, "ck-point");
      const ink = decodeLayers([z1, z2]);
      const size = 8 * digit.cell;
      add(svg, "rect", { class: "ck-paper", x: digit.left - 1, y: digit.top - 1, width: size + 2, height: size + 2 });
      ink.forEach((p, i) => {
        const place = { x: digit.left + (i % 8) * digit.cell, y: digit.top + Math.floor(i / 8) * digit.cell };
        add(svg, "rect", { class: "ck-ink", ...place, width: digit.cell, height: digit.cell, "fill-opacity": p.toFixed(3) });
      });
      const distance = data.decoder.means.map(([a, b]) => Math.hypot(a - z1, b - z2));
      const nearest = distance.indexOf(Math.min(...distance));
      const doubt = sum(ink.map((p) => -(p > 0 ? p * Math.log(p) : 0) - (p < 1 ? (1 - p) * Math.log(1 - p) : 0)));
      const place = `z = (${z1.toFixed(2)}, ${z2.toFixed(2)})`.replaceAll("-", "−");
      const text =
        `${place}: the nearest test image is a ${data.decoder.labels[nearest]}; ` +
        `${number(sum(ink))} pixels of ink expected; the decoder's doubt is ${number(doubt)} nats.`;
      return { text, shown: { y: ink, ink: sum(ink), doubt } };
    },
  };

  FIGURES.evaluation = {
    plot: "Above, nats lost by two faulty models against the number of dimensions; below, fifty samples of the noisy one.",
    height: 400,
    legend: [["ck-model", "noise among the samples"], ["ck-other", "every sample a little too wide"], ["ck-guide", "the bound"]],
    controls: [
      { name: "kept", label: "Samples that are noise", min: -4, max: 0, step: 0.1, value: -2, read: (v) => 10 ** v, show: (v) => `${number(100 * (1 - v))} %` },
      { name: "scale", label: "Spread, times", min: 1, max: 1.3, step: 0.01, value: 1.1, show: (v) => v.toFixed(2) },
      { name: "dimension", label: "Dimensions d", min: 0, max: 12, step: 1, value: 6, read: (v) => 2 ** v, show: String },
    ],
    draw(svg, width, { kept, scale, dimension }) {
      const powers = range(13, (i) => i);
      const y = powers.map((i) => noiseCost(kept, 2 ** i));
      const wide = powers.map((i) => 2 ** i * (Math.log(scale) + 0.5 / scale ** 2 - 0.5));
      const bound = -Math.log(kept);
      const plot = axes(svg, panel(width, 0, 300), [0, 12.4], [0, 12], {
        x: "dimensions d",
        y: "nats lost",
        xticks: [0, 2, 4, 6, 8, 10, 12],
        xformat: (i) => String(2 ** i),
      });
      const place = Math.log2(dimension);
      plot.line(0, bound, 12, bound, "ck-guide");
      plot.curve(powers, y, "ck-model");
      plot.curve(powers, wide, "ck-other");
      plot.line(place, 0, place, 12, "ck-guide");
      plot.dot(place, y[place], "ck-model");
      plot.dot(place, wide[place], "ck-other");
      const step = (width - 24) / 25;
      const good = Math.round(50 * kept);
      for (let i = 0; i < 50; i++) {
        // the good ones spread evenly over the row
        const isGood = Math.floor(((i + 1) * good) / 50) > Math.floor((i * good) / 50);
        const box = { x: 12 + (i % 25) * step, y: 318 + Math.floor(i / 25) * 36, width: Math.min(step - 3, 26), height: Math.min(step - 3, 26) };
        add(svg, "rect", { class: "ck-paper", ...box });
        if (isGood) add(svg, "rect", { class: "ck-ink", ...box });
      }
      const bits = (nats) => number(nats / (dimension * Math.LN2));
      const text =
        `In ${dimension} dimension${dimension === 1 ? "" : "s"}, ${number(100 * (1 - kept))} % noise costs ${number(y[place])} nats ` +
        `(${bits(y[place])} bits per dimension), at most ${number(bound)}; a spread of ${scale.toFixed(2)} times the right one ` +
        `costs ${number(wide[place])} nats (${bits(wide[place])}). Filled squares, ${good} of 50: samples of the true law.`;
      return { text, shown: { y, wide, bound } };
    },
  };

  /* The roll from its views: histograms along evenly spaced angles, filtered or not, smeared back over the disc. */
  function scan(count, filtered) {
    const { reach, bins, pixels, points } = data.scan;
    const width = (2 * reach) / bins;
    const total = points.length / 2;
    const angles = range(count, (k) => (Math.PI * k) / count);
    const views = angles.map((angle) => {
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      const view = range(bins, () => 0);
      for (let i = 0; i < points.length; i += 2) view[Math.floor((points[i] * c + points[i + 1] * s + reach) / width)] += 1 / (total * width);
      return view;
    });
    const ramp = (j) => (j === 0 ? 1 / (4 * width * width) : j % 2 ? -1 / (Math.PI * j * width) ** 2 : 0);
    const sharp = filtered ? views.map((view) => view.map((_, i) => width * sum(view.map((v, j) => v * ramp(i - j))))) : views;
    const image = [];
    for (let a = 0; a < pixels; a++) {
      for (let b = 0; b < pixels; b++) {
        const [x, y] = [a, b].map((i) => reach * (((i + 0.5) * 2) / pixels - 1));
        if (x * x + y * y > reach * reach) continue;
        let value = 0;
        angles.forEach((angle, k) => {
          const place = (x * Math.cos(angle) + y * Math.sin(angle) + reach) / width - 0.5; // from the first bin's centre
          const low = Math.floor(place);
          if (place === bins - 1) value += sharp[k][bins - 1];
          else if (place >= 0 && place < bins - 1) value += (1 + low - place) * sharp[k][low] + (place - low) * sharp[k][low + 1];
        });
        image.push({ a, b, value: (value * Math.PI) / count });
      }
    }
    return { views, image };
  }

  FIGURES.projections = {
    plot: "Left, the density rebuilt from the views; right, one of the views: a histogram of the points along a direction.",
    height: (width) => (width >= 560 ? 330 : 560),
    legend: [["ck-shade", "density: the stronger, the higher"], ["ck-bar", "the last of the views, a histogram"]],
    controls: [
      {
        name: "views", label: "Number of views", min: 0, max: data.scan.views.length - 1, step: 1, value: 5,
        show: (i) => String(data.scan.views[i]),
      },
      { name: "ramp", label: "Each view is", options: { filtered: "sharpened by the ramp", plain: "smeared back as it is" } },
    ],
    draw(svg, width, { views, ramp }) {
      const { reach, bins, pixels, views: counts, truth } = data.scan;
      const count = counts[views];
      const { views: histograms, image } = scan(count, ramp === "filtered");
      const area = ((2 * reach) / pixels) ** 2;
      const values = image.map((pixel) => pixel.value);
      const scale = ramp === "plain" ? 1 / (sum(values) * area) : 1;
      const y = values.map((value) => value * scale);
      const side = Math.min(width - 20, 300) / pixels;
      image.forEach(({ a, b }, i) => {
        const place = { x: 8 + side * a, y: 8 + side * (pixels - 1 - b), width: side + 0.3, height: side + 0.3 };
        const shade = Math.min(Math.max(y[i] / 0.8, 0), 1);
        if (shade > 0.004) add(svg, "rect", { class: "ck-shade", ...place, "fill-opacity": shade.toFixed(3) });
      });
      const middle = 8 + (side * pixels) / 2;
      const angle = (Math.PI * (count - 1)) / count;
      const arm = (side * pixels) / 2;
      const [dx, dy] = [arm * Math.cos(angle), -arm * Math.sin(angle)];
      add(svg, "circle", { class: "ck-frame", cx: middle, cy: middle, r: arm });
      add(svg, "line", { class: "ck-guide", x1: middle - dx, y1: middle - dy, x2: middle + dx, y2: middle + dy });
      const beside = width >= 560;
      const box = beside
        ? { left: side * pixels + 64, right: width - 12, top: 22, bottom: 260 }
        : { left: 46, right: width - 12, top: side * pixels + 34, bottom: 510 };
      const plot = axes(svg, box, [-reach, reach], [0, 0.9], { x: "place along the line", y: `view ${count} of ${count}` });
      const step = (2 * reach) / bins;
      histograms[count - 1].forEach((value, i) => plot.bar(-reach + i * step, -reach + (i + 1) * step, value, "ck-bar"));
      const error = sum(y.map((value, i) => (value - truth[i]) ** 2)) / sum(truth.map((value) => value * value));
      const mass = sum(y) * area;
      const negative = -sum(y.filter((value) => value < 0)) * area;
      const text =
        `${count} view${count === 1 ? "" : "s"}: relative squared error ${number(error)}, ` +
        (ramp === "plain" ? "nothing negative." : `negative mass ${negative.toFixed(2)}, left blank.`);
      return { text, shown: { y, error, mass } };
    },
  };

  /* Where the rate-distortion plot and the rows of images go: side by side, or the rows below on narrow pages. */
  function traversalBoxes(width) {
    const side = Math.min(width - 58, 300);
    const plot = { left: 46, right: 46 + side, top: 14, bottom: 14 + Math.min(side, 260) };
    const beside = width >= plot.right + 74 + 9 * 18 * 2;
    const left = beside ? plot.right + 70 : 46;
    const cell = Math.min(2.5, (width - left - 8) / (9 * 18));
    const top = beside ? 34 : plot.bottom + 76;
    return { plot, left, top, cell, height: Math.max(plot.bottom + 46, top + 5 * 18 * cell + 10) };
  }
  FIGURES.beta_vae = {
    plot: "Left, rate against distortion of seven models with the price of the chosen one as a slope; beside or below, its traversals, a row of sprites for each latent.",
    height: (width) => traversalBoxes(width).height,
    legend: [["ck-model", "trained models"], ["ck-point", "the chosen one"], ["ck-guide", "slope −β"], ["ck-truth", "what a perfect model could reach"]],
    controls: [{ name: "price", label: "Price β of a nat", min: 0, max: 6, step: 1, value: 2, show: (v) => String(data.rates.models[v].beta) }],
    draw(svg, width, { price }) {
      const { plot, left, top, cell } = traversalBoxes(width);
      const { models, entropy, steps, side } = data.rates;
      const { beta, rate, distortion, share, pixels } = models[price];
      const [most, worst] = [11, 70];
      const field = axes(svg, plot, [0, most], [0, worst], { x: "rate, nats", y: "distortion, nats" });
      field.curve([0, entropy], [entropy, 0], "ck-truth");
      field.curve(models.map((m) => m.rate), models.map((m) => m.distortion), "ck-model");
      // The line of slope −β through the point, as far as it stays inside the axes.
      const reach = (r) => distortion + beta * (rate - r);
      const from = Math.max(0, rate - (worst - distortion) / beta);
      const to = Math.min(most, rate + distortion / beta);
      field.line(from, reach(from), to, reach(to), "ck-guide");
      for (const m of models) field.dot(m.rate, m.distortion, "ck-model").setAttribute("r", 3);
      field.dot(rate, distortion, "ck-point");
      const shade = [...pixels].map((digit) => parseInt(digit, 16));
      const image = side * side;
      const paths = range(16, () => "");
      shade.forEach((level, i) => {
        if (!level) return;
        const [row, column] = [Math.floor(i / (image * steps)), Math.floor(i / image) % steps];
        const [y, x] = [Math.floor((i % image) / side), i % side];
        const at = [left + (column * (side + 2) + x) * cell, top + (row * (side + 2) + y) * cell];
        paths[level] += `M${at[0].toFixed(1)},${at[1].toFixed(1)}h${cell.toFixed(2)}v${cell.toFixed(2)}h${(-cell).toFixed(2)}z`;
      });
      add(svg, "rect", { class: "ck-paper", x: left - 2, y: top - 2, width: steps * (side + 2) * cell + 2, height: share.length * (side + 2) * cell + 2 });
      paths.forEach((d, level) => d && add(svg, "path", { class: "ck-ink", d, "fill-opacity": (level / 15).toFixed(3) }));
      add(svg, "text", { class: "ck-code", x: left - 8, y: top - 10, "text-anchor": "end" }, "nats");
      share.forEach((nats, j) => add(svg, "text", { class: "ck-code", x: left - 8, y: top + ((side + 2) * j + 11) * cell, "text-anchor": "end" }, nats.toFixed(2)));
      const ink = share.map((_, j) => sum(shade.slice(j * image * steps, (j + 1) * image * steps)) / 15);
      const active = share.filter((nats) => nats > 0.1).length;
      const text =
        `β = ${beta}: rate ${rate.toFixed(2)} nats, distortion ${distortion.toFixed(1)}, ELBO −${(rate + distortion).toFixed(1)}; ` +
        `${active} of ${share.length} latents carry more than 0.1 nats.`;
      return { text, shown: { y: ink, rate, distortion, elbo: -(rate + distortion), active, perfect: entropy - rate } };
    },
  };
  FIGURES.iterative = {
    plot: "A cloud of points in the plane after some layers, with circles at one and two standard deviations.",
    height: (width) => Math.min(width - 58, 360) + 60,
    legend: [["ck-point", "points"], ["ck-truth", "one and two standard deviations of the normal law"]],
    controls: [
      { name: "layers", label: "Layers applied", min: 0, max: 16, step: 1, value: 0, show: String },
      { name: "way", label: "Way", options: { forward: "held-out data to latent", backward: "fresh latents to data" } },
    ],
    draw(svg, width, { layers, way }) {
      const side = Math.min(width - 58, 360);
      const plot = axes(svg, { left: 46, right: 46 + side, top: 14, bottom: 14 + side }, [-3.5, 3.5], [-3.5, 3.5], { x: "first column", y: "second column" });
      for (const radius of [1, 2]) {
        const turn = grid(0, 2 * Math.PI, 90);
        plot.curve(turn.map((t) => radius * Math.cos(t)), turn.map((t) => radius * Math.sin(t)), "ck-truth");
      }
      const points = data.steps[way][layers];
      for (const [x, y] of points) if (Math.abs(x) < 3.5) plot.dot(x, y, "ck-point").setAttribute("r", 2.2);
      const radius = sum(points.map(([x, y]) => x * x + y * y)) / points.length;
      const loss = data.steps.loss[layers];
      const mean = `mean squared radius ${radius.toFixed(2)} (normal law: 2)`;
      const text =
        way === "forward"
          ? `${layers} layer${layers === 1 ? "" : "s"}: held-out negative log-likelihood ${loss.toFixed(3)} nats; ${mean}.`
          : `${layers} of 16 layers undone: ${mean}.`;
      return { text, shown: { y: points.flat(), radius, loss } };
    },
  };

  /* A film of a GAN's training: where the discriminator takes points for data, and samples of the generator. */
  FIGURES.gan = {
    plot: "A square with eight target modes on a circle, shaded where the discriminator believes in data, and the generator's samples as dots.",
    height: (width) => Math.min(width - 58, 380) + 60,
    legend: [["ck-other", "samples"], ["ck-truth", "modes of the data"], ["ck-bar", "the discriminator believes: data"]],
    controls: [
      { name: "frame", label: "Frame", min: 0, max: 17, step: 1, value: 0, show: (v) => `${data.gan.frames[v]} updates` },
      { name: "run", label: "Steps D : G", options: { "1:1, non-saturating": "1 : 1", "1:10, non-saturating": "1 : 10" } },
    ],
    play: "frame",
    draw(svg, width, { frame, run }) {
      const { cells, reach, means, std } = data.gan;
      const { samples, field } = data.gan.runs[run][frame];
      const side = Math.min(width - 58, 380);
      const box = { left: 46, right: 46 + side, top: 14, bottom: 14 + side };
      const cell = side / cells;
      field.forEach((value, i) => {
        const place = { x: box.left + (i % cells) * cell, y: box.bottom - (Math.floor(i / cells) + 1) * cell };
        add(svg, "rect", { class: "ck-belief", ...place, width: cell + 0.3, height: cell + 0.3, "fill-opacity": (value / 99).toFixed(2) });
      });
      axes(svg, box, [-reach, reach], [-reach, reach], { x: "x₁", y: "x₂" });
      const X = (x) => box.left + ((x + reach) / (2 * reach)) * side;
      const Y = (y) => box.bottom - ((y + reach) / (2 * reach)) * side;
      for (const [a, b] of means) add(svg, "circle", { class: "ck-target", cx: X(a), cy: Y(b), r: 7 });
      const points = range(samples.length / 2, (i) => [samples[2 * i] / 100, samples[2 * i + 1] / 100]);
      for (const [a, b] of points) if (Math.max(Math.abs(a), Math.abs(b)) < reach) add(svg, "circle", { class: "ck-drop", cx: X(a), cy: Y(b), r: 2 });
      const gaps = points.map(([a, b]) => means.map(([c, d]) => Math.hypot(a - c, b - d)));
      const near = gaps.map((row) => Math.min(...row) <= 4 * std);
      const counts = means.map((_, k) => sum(gaps.map((row, i) => Number(near[i] && row.indexOf(Math.min(...row)) === k))));
      const modes = counts.filter((count) => count >= 0.02 * points.length).length;
      const quality = sum(near.map(Number)) / points.length;
      const text = `After ${data.gan.frames[frame]} updates: ${modes} of 8 modes found, ${Math.round(100 * quality)} % of ${points.length} samples near a mode.`;
      return { text, shown: { modes, quality, field } };
    },
  };

  /* A warp with one corner: where it is dragged, a series is told at another rate, and its inverse aligns it again. */
  function warpBoxes(width) {
    const beside = width >= 520;
    const side = beside ? 190 : Math.min(width - 70, 230);
    const warp = { left: 46, right: 46 + side, top: 14, bottom: 14 + side };
    const plot = beside
      ? { left: warp.right + 56, right: width - 12, top: 14, bottom: 14 + side }
      : { left: 46, right: width - 12, top: warp.bottom + 60, bottom: warp.bottom + 250 };
    return { warp, plot, height: Math.max(warp.bottom, plot.bottom) + 46 };
  }

  // Straight lines between the values of a series at equally spaced times in [0, 1].
  function readAt(values, time) {
    const place = time * (values.length - 1);
    const left = Math.min(Math.floor(place), values.length - 2);
    return (1 - place + left) * values[left] + (place - left) * values[left + 1];
  }

  function unwarp(gamma, time) {
    const last = gamma.length - 1;
    let left = 0;
    while (left < last - 1 && gamma[left + 1] <= time) left += 1;
    return (left + (time - gamma[left]) / (gamma[left + 1] - gamma[left])) / last;
  }

  function timeWarping(x, y) {
    let above = [0, ...y.map(() => Infinity)];
    for (const a of x) {
      const row = [Infinity];
      y.forEach((b, j) => row.push((a - b) ** 2 + Math.min(above[j], above[j + 1], row[j])));
      above = row;
    }
    return Math.sqrt(above[y.length]);
  }

  FIGURES.rate_invariant = {
    plot: "Left, a warp with one corner; right, a template, the series that is read along the warp, and that series read at the inverse.",
    height: (width) => warpBoxes(width).height,
    legend: [["ck-truth", "template"], ["ck-other", "series: read along the warp"], ["ck-model", "aligned: read at the inverse"]],
    controls: [
      { name: "when", label: "At time t", min: 0.1, max: 0.9, step: 0.02, value: 0.5, show: (v) => v.toFixed(2) },
      { name: "what", label: "the template is at γ(t)", min: 0.1, max: 0.9, step: 0.02, value: 0.3, show: (v) => v.toFixed(2) },
      { name: "series", label: "Template", options: { 0: "class 1", 1: "class 3" } },
    ],
    drag(x, y, width) {
      const { warp } = warpBoxes(width);
      const inside = (v) => Math.min(0.9, Math.max(0.1, v));
      return { when: inside((x - warp.left) / (warp.right - warp.left)), what: inside((warp.bottom - y) / (warp.bottom - warp.top)) };
    },
    draw(svg, width, { when, what, series }) {
      const boxes = warpBoxes(width);
      const template = data.warp.templates[series];
      const times = grid(0, 1, template.length);
      const gamma = times.map((t) => (t <= when ? (t * what) / when : 1 - ((1 - t) * (1 - what)) / (1 - when)));
      const y = gamma.map((g, i) => readAt(template, g) + data.warp.noise[i]);
      const aligned = times.map((t) => readAt(y, unwarp(gamma, t)));
      const left = axes(svg, boxes.warp, [0, 1], [0, 1], { x: "time t", y: "γ(t)" });
      left.line(0, 0, 1, 1, "ck-guide");
      left.curve([0, when, 1], [0, what, 1], "ck-model");
      left.dot(when, what, "ck-point");
      const right = axes(svg, boxes.plot, [0, 1], [-1.6, 1.6], { x: "time t", y: "value" });
      right.curve(times, template, "ck-truth");
      right.curve(times, y, "ck-other");
      right.curve(times, aligned, "ck-model");
      const gap = (x) => Math.sqrt(sum(x.map((value, i) => (value - template[i]) ** 2)));
      const found = { direct: gap(y), dtw: timeWarping(y, template), after: gap(aligned) };
      const rate = what > when ? "Everything comes early" : what < when ? "Everything comes late" : "No warp";
      const text =
        `${rate}. Distance from the template: ${number(found.direct)} value by value, ${number(found.dtw)} by dynamic time ` +
        `warping, ${number(found.after)} once aligned.`;
      return { text, shown: { y, aligned, ...found } };
    },
  };

  /* A template, drawn from the code, and the same moved by the pose: the two never mix. */
  FIGURES.transform_autoencoder = {
    plot: "Two grey images of sixteen by sixteen pixels: the template of the code, and the template moved by the pose.",
    height: (width) => posedBoxes(width).cell * 16 + 40,
    legend: [["ck-other", "ink"]],
    controls: [
      { name: "turn", label: "Turn", min: -1.5, max: 1.5, step: 0.05, value: 0.4, show: (v) => `${signed(v)} rad` },
      { name: "scale", label: "Log-scale", min: -0.5, max: 0.5, step: 0.02, value: 0, show: signed },
      { name: "right", label: "Shift right", min: -0.5, max: 0.5, step: 0.02, value: 0.2, show: signed },
      { name: "up", label: "Shift up", min: -0.5, max: 0.5, step: 0.02, value: 0, show: signed },
      { name: "digit", label: "Code of a", options: Object.fromEntries(range(10, (k) => [`${k}`, `${k}`])) },
      { name: "first", label: "Code, first number", min: -2, max: 2, step: 0.1, value: 0, show: signed },
      { name: "second", label: "Code, second number", min: -2, max: 2, step: 0.1, value: 0, show: signed },
    ],
    draw(svg, width, { digit, turn, scale, right, up, first, second }) {
      const { layers, gauge, codes, spread } = data.posed;
      const code = codes[digit].map((c, i) => c + spread[i] * [first, second, 0, 0][i]);
      const raw = decodeLayers(code, layers);
      const [c, s] = [Math.exp(scale) * Math.cos(turn), Math.exp(scale) * Math.sin(turn)];
      const template = warpImage(raw, gauge);
      const y = warpImage(raw, composeMaps([[c, -s, right], [s, c, up]], gauge));
      const { cell, left } = posedBoxes(width);
      [template, y].forEach((pixels, k) => {
        const label = add(svg, "g", { class: "ck-axis" });
        add(label, "text", { x: left[k], y: 16 }, k ? "moved by the pose" : "template of the code");
        add(svg, "rect", { class: "ck-paper", x: left[k] - 1, y: 25, width: 16 * cell + 2, height: 16 * cell + 2 });
        pixels.forEach((p, i) => {
          const place = { x: left[k] + (i % 16) * cell, y: 26 + Math.floor(i / 16) * cell };
          add(svg, "rect", { class: "ck-ink", ...place, width: cell + 0.3, height: cell + 0.3, "fill-opacity": p.toFixed(3) });
        });
      });
      const moved = `turned by ${signed(turn)} radians, scaled by ${Math.exp(scale).toFixed(2)}, shifted by ${signed(right)} and ${signed(up)} half-widths`;
      const ink = sum(y);
      const text = `The template of this code, ${moved}: ${number(ink)} pixels of ink.`;
      return { text, shown: { y, template, ink } };
    },
  };

  // --- controls ---------------------------------------------------------------------------------------

  function addControl(parent, id, control, changed) {
    const row = add(parent, "div", { class: "ck-control" });
    add(row, "label", { for: id }, control.label);
    if (control.options) {
      const select = add(row, "select", { id });
      for (const [value, text] of Object.entries(control.options)) add(select, "option", { value }, text);
      select.addEventListener("change", changed);
      return { read: () => select.value };
    }
    const read = control.read || Number;
    const input = add(row, "input", { id, type: "range", min: control.min, max: control.max, step: control.step });
    input.value = control.value;
    const output = add(row, "output", { for: id });
    const update = () => {
      const text = control.show(read(Number(input.value)));
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
    input.addEventListener("input", () => {
      update();
      changed();
    });
    update();
    const set = (value) => {
      input.value = value;
      update();
    };
    return { read: () => read(Number(input.value)), set };
  }

  /* A button that moves a slider from where it is to its end, or from the start again; a second press stops it. */
  function addPlayer(parent, control, handle, changed) {
    const button = add(parent, "button", { type: "button", class: "ck-play" }, "Play");
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (handle.read() >= control.max) handle.set(control.min);
      button.textContent = "Stop";
      timer = setInterval(() => {
        handle.set(handle.read() + control.step);
        changed();
        if (handle.read() >= control.max) stop();
      }, 450);
    });
  }

  function build(figure, index) {
    const design = FIGURES[figure.dataset.figure];
    if (!design) throw new Error(`there is no interactive figure named "${figure.dataset.figure}"`);
    figure.querySelectorAll(".ck-fallback").forEach((node) => node.remove());
    const caption = figure.querySelector("figcaption");
    const body = document.createElement("div");
    figure.insertBefore(body, caption);
    const controls = add(body, "div", { class: "ck-controls" });
    const handles = {};
    for (const control of design.controls) {
      const id = `ck-${figure.dataset.figure}-${index}-${control.name}`;
      handles[control.name] = addControl(controls, id, control, () => draw());
    }
    if (design.play) addPlayer(controls, design.controls.find((control) => control.name === design.play), handles[design.play], () => draw());
    const legend = add(body, "ul", { class: "ck-legend" });
    for (const [style, text] of design.legend) {
      const item = add(legend, "li", {});
      add(item, "span", { class: `ck-swatch ${style}`, "aria-hidden": "true" });
      item.appendChild(document.createTextNode(text));
    }
    const holder = add(body, "div", { class: "ck-plot" });
    const summary = add(body, "p", { class: "ck-summary", "aria-live": "polite" });
    let drawnWidth = 0;

    function draw() {
      const width = Math.max(280, Math.floor(holder.clientWidth || 640));
      drawnWidth = width;
      holder.textContent = "";
      const height = typeof design.height === "function" ? design.height(width) : design.height;
      const size = { viewBox: `0 0 ${width} ${height}`, width, height };
      const svg = add(holder, "svg", { ...size, role: "img", "aria-label": design.plot });
      const state = Object.fromEntries(Object.entries(handles).map(([name, { read }]) => [name, read()]));
      const { text, shown, pick } = design.draw(svg, width, state);
      if (pick) {
        svg.addEventListener("click", (event) => {
          const frame = svg.getBoundingClientRect();
          const wanted = pick(((event.clientX - frame.left) * width) / frame.width, ((event.clientY - frame.top) * height) / frame.height);
          for (const [name, value] of Object.entries(wanted)) {
            const input = document.getElementById(`ck-${figure.dataset.figure}-${index}-${name}`);
            input.value = value; // the slider rounds to its steps, and stays within its range
            input.dispatchEvent(new Event("input"));
          }
        });
      }
      if (summary.textContent !== text) summary.textContent = text;
      figure.shown = { ...shown, settings: state };
    }

    /* Where a figure lets a point be dragged, the pointer moves its sliders. */
    function follow(event) {
      const box = holder.querySelector("svg").getBoundingClientRect();
      const values = design.drag(event.clientX - box.left, event.clientY - box.top, drawnWidth);
      for (const [name, value] of Object.entries(values)) handles[name].set(value);
      draw();
    }
    if (design.drag) {
      holder.classList.add("ck-drag");
      holder.addEventListener("pointerdown", (event) => {
        holder.setPointerCapture(event.pointerId);
        follow(event);
      });
      holder.addEventListener("pointermove", (event) => {
        if (holder.hasPointerCapture(event.pointerId)) follow(event);
      });
    }

    draw();
    if (window.ResizeObserver) {
      new ResizeObserver(() => {
        if (Math.abs(holder.clientWidth - drawnWidth) > 4) draw();
      }).observe(holder);
    }
  }

  function start() {
    document.querySelectorAll("figure.ck-interactive[data-figure]").forEach(build);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

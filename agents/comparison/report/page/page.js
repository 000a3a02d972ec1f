"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const SVG = find("svg").namespaceURI;
const hidden = new Set();
let lit = null;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(parent, tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

const signed = (value, digits = 2) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
const percent = (value) => (100 * value).toFixed(2);

/* Round numbers within [low, high], about `count` of them, and their decimals. */
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= raw * 0.999);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (Math.abs(step / power - 2.5) < 1e-6 ? 1 : 0));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return { found, decimals };
}

/* Limits of the plots: those of policies, or of references too. */
function limits() {
  const whole = find("#whole").checked;
  const policies = data.curves.filter((curve) => curve.kind !== "reference");
  const curves = whole || !policies.length ? data.curves : policies;
  const rows = curves.flatMap((curve) => curve.rows);
  const x = rows.map((row) => row.timesteps);
  const y = rows.flatMap((row) => [100 * row.accuracy.low, 100 * row.accuracy.high]);
  const changes = rows.filter((row) => row.difference).flatMap((row) => [row.difference.low, row.difference.high]);
  const padded = (values, least) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = 0.06 * Math.max(high - low, least);
    return [low - margin, high + margin];
  };
  const [left, right] = padded(x, 0.25);
  return {
    x: [Math.max(left, 0.9), right],
    accuracy: padded(y, 0.1),
    difference: padded([0, ...changes.map((value) => 100 * value)], 0.1),
  };
}

class Plot {
  constructor(element, field, height, label) {
    Object.assign(this, { element, field, height, label, points: [], active: -1 });
    this.svg = find("svg", element);
    this.tip = find(".tip", element);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.show(-1));
    this.svg.addEventListener("blur", () => this.show(-1));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.render()).observe(element);
  }

  render() {
    const width = this.element.clientWidth;
    const height = Math.round(Math.min(this.height, Math.max(0.62 * width, 0.7 * this.height)));
    if (width < 50) return;
    const inside = { left: 52, right: width - 14, top: 22, bottom: height - 38 };
    const range = limits();
    const [y0, y1] = range[this.field];
    const [x0, x1] = range.x;
    const x = (value) => inside.left + ((value - x0) / (x1 - x0)) * (inside.right - inside.left);
    const y = (value) => inside.bottom - ((value - y0) / (y1 - y0)) * (inside.bottom - inside.top);
    const svg = this.svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.height = `${height}px`;
    draw(svg, "rect", { width, height, fill: "transparent" });
    const clip = draw(draw(svg, "clipPath", { id: `clip-${this.field}` }), "rect", {
      x: inside.left - 7, y: inside.top - 7,
      width: inside.right - inside.left + 14, height: inside.bottom - inside.top + 14,
    }).parentNode.id;
    const across = ticks(x0, x1, (inside.right - inside.left) / 90);
    for (const value of across.found) {
      draw(svg, "line", { class: "grid", x1: x(value), x2: x(value), y1: inside.top, y2: inside.bottom });
      draw(svg, "text", { x: x(value), y: inside.bottom + 17, "text-anchor": "middle" }, value.toFixed(across.decimals));
    }
    const up = ticks(y0, y1, (inside.bottom - inside.top) / 48);
    for (const value of up.found) {
      const zero = this.field === "difference" && Math.abs(value) < 1e-9;
      const shown = this.field === "difference" && !zero ? signed(value, up.decimals) : value.toFixed(up.decimals);
      draw(svg, "line", { class: "grid", x1: inside.left, x2: inside.right, y1: y(value), y2: y(value) });
      draw(svg, "text", { x: inside.left - 8, y: y(value) + 4, "text-anchor": "end" }, shown);
    }
    draw(svg, "text", { x: 0, y: 11 }, this.label);
    draw(svg, "text", { x: inside.right, y: height - 4, "text-anchor": "end" }, "mean timesteps");
    const visible = data.curves.filter((curve, index) => curve.kind !== "reference" && !hidden.has(index));
    const canvas = draw(svg, "g", { class: visible.length > 2 ? "" : "few", "clip-path": `url(#${clip})` });
    if (this.field === "difference") {
      draw(canvas, "line", { class: "zero", x1: inside.left, x2: inside.right, y1: y(0), y2: y(0) });
    }
    this.points = [];
    this.groups = [];
    const drawn = data.curves.filter((curve) => this.field === "accuracy" || curve.rows.some((row) => row.difference));
    const step = Math.min(5, (0.1 * (inside.right - inside.left)) / Math.max(drawn.length, 1));
    drawn.forEach((curve, place) => {
      const index = data.curves.indexOf(curve);
      if (hidden.has(index)) return;
      const group = draw(canvas, "g", { class: "curve", "data-curve": index });
      this.groups.push(group);
      const rows = curve.rows.filter((row) => this.field === "accuracy" || row.difference);
      const shift = this.field === "difference" ? (place - (drawn.length - 1) / 2) * step : 0;
      const at = rows.map((row) => ({ row, curve, index, interval: row[this.field], x: x(row.timesteps) + shift }));
      for (const point of at) {
        for (const end of ["estimate", "low", "high"]) point[end] = y(100 * point.interval[end]);
      }
      this.curve(group, curve, at, x, y);
      for (const point of at) {
        draw(group, "path", {
          class: "point", d: curve.path, fill: curve.color, "data-name": point.row.name,
          transform: `translate(${point.x.toFixed(1)} ${point.estimate.toFixed(1)})`,
        });
        const inDomain = point.x > inside.left - 7 && point.x < inside.right + 7
          && point.estimate > inside.top - 7 && point.estimate < inside.bottom + 7;
        if (inDomain) this.points.push(point);
      }
      const edge = at.find((point, i) => i > 0 && at[i - 1].x < inside.right && point.x >= inside.right);
      const before = at[at.indexOf(edge) - 1];
      const share = edge ? (inside.right - before.x) / (edge.x - before.x) : 0;
      const leaving = edge && { x: inside.right, estimate: before.estimate + share * (edge.estimate - before.estimate) };
      const inView = leaving && leaving.estimate > inside.top && leaving.estimate < inside.bottom;
      const last = this.points.findLast((point) => point.index === index) ?? (inView ? leaving : null);
      if (curve.kind === "reference" && last) {
        const end = last.x > inside.right - 70;
        draw(svg, "text", { x: last.x + (end ? -9 : 9), y: last.estimate + (last.estimate < inside.top + 14 ? 16 : -7), "text-anchor": end ? "end" : "start" }, curve.name);
      }
    });
    this.points.sort((a, b) => a.x - b.x || a.estimate - b.estimate);
    this.ring = draw(svg, "circle", { class: "ring", r: 9, visibility: "hidden" });
    this.show(-1);
    this.fade();
  }

  curve(group, curve, at, x, y) {
    const joined = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
    const bars = this.field === "difference" || (at.length === 1 && curve.kind !== "reference");
    if (bars) {
      for (const point of at) {
        const { x: a, low, high } = point;
        draw(group, "path", { class: "bar", stroke: curve.color, fill: "none", d: `M${a} ${low}V${high}M${a - 3} ${low}h6M${a - 3} ${high}h6` });
      }
    } else if (curve.kind !== "reference") {
      const outline = [...at.map((point) => [point.x, point.low]), ...at.toReversed().map((point) => [point.x, point.high])];
      draw(group, "path", { class: "band", fill: curve.color, d: `${joined(outline)}z` });
    }
    const line = this.field === "accuracy" ? curve.line.map(([a, b]) => [x(a), y(100 * b)]) : at.map((point) => [point.x, point.estimate]);
    draw(group, "path", { class: "line", stroke: curve.color, "stroke-dasharray": curve.dash, d: joined(line) });
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let [nearest, least] = [-1, 28];
    this.points.forEach((point, i) => {
      const distance = Math.hypot(point.x - px, point.estimate - py);
      if (distance < least) [nearest, least] = [i, distance];
    });
    if (nearest !== this.active) this.show(nearest);
  }

  key(event) {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.show(-1);
    if (!move || !this.points.length) return;
    event.preventDefault();
    const from = this.active < 0 && move < 0 ? 0 : this.active;
    this.show((from + move + this.points.length) % this.points.length);
  }

  show(place) {
    this.active = place;
    const point = this.points[place];
    this.tip.hidden = !point;
    this.ring?.setAttribute("visibility", point ? "visible" : "hidden");
    highlight(point ? point.index : null);
    if (!point) return;
    this.ring.setAttribute("cx", point.x);
    this.ring.setAttribute("cy", point.estimate);
    const { row, curve } = point;
    const { accuracy, difference } = row;
    const lines = [`${percent(accuracy.estimate)} % [${percent(accuracy.low)}, ${percent(accuracy.high)}]`];
    const target = row.target === null || curve.kind === "reference" ? "" : `, target ${row.target}`;
    lines.push(`${row.timesteps.toFixed(3)} timesteps${target}`);
    if (difference) {
      const [estimate, low, high] = [difference.estimate, difference.low, difference.high].map((value) => signed(100 * value));
      lines.push(`${estimate} points [${low}, ${high}] over ${data.reference}, p = ${difference.p.toFixed(4)}`);
    }
    if (row.seeds > 1) lines.push(`${row.seeds} seeds`);
    this.tip.replaceChildren(make("b", {}, curve.name), ...lines.flatMap((line) => [line, make("br")]).slice(0, -1));
    const width = this.element.clientWidth;
    const left = point.x + 16 + this.tip.offsetWidth > width ? point.x - 16 - this.tip.offsetWidth : point.x + 16;
    this.tip.style.left = `${Math.max(0, Math.min(left, width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${Math.max(0, point.estimate - this.tip.offsetHeight - 12)}px`;
  }

  fade() {
    for (const group of this.groups ?? []) {
      const own = Number(group.dataset.curve) === lit;
      group.classList.toggle("faded", lit !== null && !own);
      group.classList.toggle("lit", own);
    }
  }
}

const plots = [];
if (find("#accuracy-plot")) plots.push(new Plot(find("#accuracy-plot"), "accuracy", 470, "accuracy (%)"));
if (find("#difference-plot")) {
  plots.push(new Plot(find("#difference-plot"), "difference", 300, `points over ${data.reference}`));
}

function highlight(index) {
  lit = index;
  plots.forEach((plot) => plot.fade());
}

function renderPlots() {
  all(".legend [data-curve]").forEach((button) => {
    button.setAttribute("aria-pressed", String(!hidden.has(Number(button.dataset.curve))));
  });
  plots.forEach((plot) => plot.render());
}

all(".legend [data-curve]").forEach((button) => {
  const index = Number(button.dataset.curve);
  button.addEventListener("click", (event) => {
    if (event.detail === 2 || event.shiftKey) data.curves.forEach((_, other) => (other === index ? hidden.delete(other) : hidden.add(other)));
    else if (!hidden.delete(index)) hidden.add(index);
    renderPlots();
    highlight(null);
  });
  button.addEventListener("pointerenter", () => highlight(hidden.has(index) ? null : index));
  button.addEventListener("pointerleave", () => highlight(null));
});
find("#show-all").addEventListener("click", () => {
  hidden.clear();
  renderPlots();
});
find("#whole").addEventListener("change", renderPlots);

/* Tables sorted by a click on a heading. */
for (const table of all("table.sortable")) {
  const heads = all("thead th", table);
  heads.forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const key = (row) => {
        const cell = row.children[column];
        return cell.classList.contains("number") ? Number(find("data", cell)?.value ?? NaN) : cell.textContent.trim();
      };
      const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
      const rows = all("tbody tr", table).map((row) => [key(row), row]);
      const [known, unknown] = [rows.filter(([value]) => value === value), rows.filter(([value]) => value !== value)];
      known.sort(([a], [b]) => (order === "ascending" ? compare(a, b) : compare(b, a)));
      find("tbody", table).append(...[...known, ...unknown].map(([, row]) => row));
    });
  });
}

const colors = Object.fromEntries(data.curves.flatMap((curve) => curve.rows.map((row) => [row.name, curve.color])));

function meter(share, text, color) {
  const bar = make("i");
  bar.style.width = `${(100 * share).toFixed(2)}%`;
  bar.style.background = color;
  return make("div", { class: "meter" }, make("div", { class: "track" }, bar), make("span", {}, text));
}

function showClasses(place) {
  const order = data.classes.names
    .map((name, k) => ({ name, rows: data.classes.rows[k], accuracy: place.accuracy[k], exits: place.exits[k] }))
    .filter((each) => each.accuracy !== null)
    .sort((a, b) => a.accuracy - b.accuracy || b.exits - a.exits);
  const most = 40;
  const shown = order.length > most ? [...order.slice(0, most / 2), ...order.slice(-most / 2)] : order;
  const body = make("tbody");
  for (const each of shown) {
    body.append(
      make("tr", { title: `${each.rows} rows` },
        make("th", { scope: "row" }, each.name),
        make("td", {}, meter(each.accuracy, `${(100 * each.accuracy).toFixed(1)} %`, colors[place.name])),
        make("td", {}, meter(each.exits / data.timesteps, each.exits.toFixed(2), colors[place.name]))));
  }
  const head = make("tr", {}, ...["class", "accuracy", `mean exit timestep, of ${data.timesteps}`].map((text) => make("th", { scope: "col" }, text)));
  const table = make("table", {}, make("thead", {}, head), body);
  const box = make("div", { class: "scroll class-table", tabindex: "0", role: "region", "aria-label": "Classes" }, table);
  const parts = [box];
  if (shown.length < order.length) {
    parts.push(make("p", { class: "note" }, `The ${most / 2} hardest and the ${most / 2} easiest of ${order.length} classes.`));
  }
  find("#class-rows").replaceChildren(...parts);
}

function showImages(place) {
  const names = data.classes.names;
  const groups = place.gallery.map(([t, entries]) => {
    const thumbs = entries.map(([image, label, prediction]) => {
      const wrong = label !== prediction;
      const text = wrong ? `${names[label]} → ${names[prediction]}` : names[label];
      const alt = `${names[label]}, answered ${wrong ? names[prediction] : "right"} at timestep ${t}`;
      const figure = make("figure", {}, make("img", { src: data.images[image], alt }), make("figcaption", {}, text));
      if (wrong) figure.className = "wrong";
      return figure;
    });
    const title = make("h3", {}, `t = ${t} `);
    if (!thumbs.length) title.append(make("span", {}, "no row exits here"));
    return make("div", { class: "exit-group" }, title, make("div", { class: "thumbs" }, ...thumbs));
  });
  find("#gallery").replaceChildren(...groups);
}

/* Both choices of a policy begin with the first learned policy, at its middle target. */
const preferred = data.curves.find((curve) => curve.kind === "learned") ?? data.curves.find((curve) => curve.kind === "rule");
const first = preferred && preferred.rows[Math.floor(preferred.rows.length / 2)].name;
for (const select of all("select[data-choose]")) {
  const show = { classes: showClasses, images: showImages }[select.dataset.choose];
  data.places.forEach((place, i) => select.append(make("option", { value: i }, place.name)));
  if (!data.places.length) continue;
  select.value = Math.max(0, data.places.findIndex((place) => place.name === first));
  select.addEventListener("change", () => show(data.places[select.value]));
  show(data.places[select.value]);
}

const theme = find("#theme");
theme.addEventListener("click", () => {
  const root = document.documentElement.dataset;
  root.theme = { light: "dark", dark: "auto" }[root.theme] ?? "light";
  theme.textContent = `Theme: ${root.theme}`;
});

// Small charts of what happened over time: bars stacked on one another or side by side, or lines. The same figures stand in a table below.

import { h, svg } from "../lib/dom.js";
import { text } from "../text.js";

/** About as wide as it is shown, so that its words have the size of others. */
const WIDE = 480;
const NARROW = 330;
const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 20;
const TOP = 8;

/**
 * A chart. `points` have a `label` and what is pointed at `name`s them by; `series` are `{ name, values, format }`, with a value
 * for each point, or null. `kind` is bars, pairs or lines.
 */
export function chart({ title, points, series, kind = "bars", format }) {
  const width = innerWidth < 800 ? NARROW : WIDE;
  const most = Math.max(...peaks(series, points.length, kind), 0);
  const top = ceiling(most);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const step = (width - LEFT) / Math.max(points.length, 1);
  const draw = { bars, pairs, lines }[kind];
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": summary(title, series, format) },
    grid(top, y, width, format),
    points.map(({ label }, at) => label && svg("text", { class: "axis", x: LEFT + step * (at + 0.5), y: HEIGHT - 4, "text-anchor": "middle" }, label)),
    draw(series, points, { y, step }),
    hovers(points, series, step, format),
  );
  return h("figure", { class: "figure" },
    h("figcaption", {}, h("span", { class: "figure-title" }, title), legend(series, format)),
    picture,
    figures(title, points, series, format),
  );
}

function peaks(series, count, kind) {
  return Array.from({ length: count }, (_, at) => {
    const values = series.map(({ values }) => values[at] ?? 0);
    return kind === "bars" ? values.reduce((sum, value) => sum + value, 0) : Math.max(...values);
  });
}

/** The next number that reads well. */
function ceiling(most) {
  if (most <= 4) return 4;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 8, 10].map((factor) => factor * size).find((value) => value >= most);
}

function grid(top, y, width, format) {
  return [0, top / 2, top].map((value) => [
    svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
    svg("text", { class: "axis", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)),
  ]);
}

function bars(series, points, { y, step }) {
  const gap = Math.min(2, step / 4);
  return points.map((_, at) => {
    let below = 0;
    return series.map(({ values }, number) => {
      const value = values[at] ?? 0;
      if (value === 0) return null;
      const bar = svg("rect", {
        class: `series s${number}`, x: LEFT + step * at + gap / 2, width: Math.max(step - gap, 1),
        y: y(below + value), height: Math.max(y(below) - y(below + value), 1),
      });
      below += value;
      return bar;
    });
  });
}

function pairs(series, points, { y, step }) {
  const gap = Math.min(3, step / 4);
  const thin = (step - gap) / series.length;
  return points.map((_, at) => series.map(({ values }, number) => {
    const value = values[at] ?? 0;
    if (value === 0) return null;
    const x = LEFT + step * at + gap / 2 + thin * number;
    return svg("rect", { class: `series s${number}`, x, width: Math.max(thin, 0.6), y: y(value), height: Math.max(y(0) - y(value), 1) });
  }));
}

function lines(series, points, { y, step }) {
  return series.map(({ values }, number) => {
    let path = "";
    const dots = [];
    let joined = false;
    points.forEach((_, at) => {
      const value = values[at];
      if (value === null || value === undefined) {
        joined = false;
        return;
      }
      const x = (LEFT + step * (at + 0.5)).toFixed(1);
      path += `${joined ? "L" : "M"}${x} ${y(value).toFixed(1)}`;
      dots.push(svg("circle", { class: `dot s${number}`, cx: x, cy: y(value), r: 2 }));
      joined = true;
    });
    return [svg("path", { class: `line s${number}`, d: path }), dots];
  });
}

function hovers(points, series, step, format) {
  return points.map(({ name }, at) => {
    const said = series.filter(({ values }) => values[at] !== null && values[at] !== undefined);
    const words = said.map((one) => `${one.name} ${format(one.values[at])}`).join(", ");
    return svg("rect", { class: "hover", x: LEFT + step * at, y: TOP, width: step, height: HEIGHT - TOP - BOTTOM },
      svg("title", {}, `${name}: ${words || text.chart.nothing}`));
  });
}

function legend(series, format) {
  return h("span", { class: "legend" }, series.map(({ name, values, total = sum }, number) => {
    const all = total(values);
    return h("span", {}, h("i", { class: `swatch s${number}` }), name, all !== null && h("b", {}, format(all)));
  }));
}

function sum(values) {
  return values.reduce((all, value) => all + (value ?? 0), 0);
}

function summary(title, series, format) {
  const parts = series.map(({ name, values, total = sum }) => `${name} ${format(total(values) ?? 0)}`);
  return `${title}: ${parts.join(", ")}`;
}

function figures(title, points, series, format) {
  const rows = points.map(({ name }, at) => ({ name, at })).filter(({ at }) => series.some(({ values }) => values[at]));
  if (rows.length === 0) return null;
  return h("details", { class: "quiet", "data-key": `figures-${title}` },
    h("summary", {}, text.chart.figures),
    h("div", { class: "table", tabindex: "0", role: "region", "aria-label": title }, h("table", { class: "plain-table" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, text.chart.time), series.map(({ name }) => h("th", { scope: "col", class: "num" }, name)))),
      h("tbody", {}, rows.map(({ name, at }) => h("tr", {}, h("th", { scope: "row" }, name),
        series.map(({ values }) => h("td", { class: "num" }, format(values[at] ?? 0)))))),
    )),
  );
}

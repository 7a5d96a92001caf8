// Charts: uPlot in the place of the server's drawing, from the same rows, under the same legend.

import { said, show } from "./format.js";

const charts = new Map();
const sync = window.uPlot ? window.uPlot.sync("page") : null;
let zoomed = false;
// How far the axis reaches where all is zero.
const usual = { s: 0.001, By: 1000, "By/s": 1000 };

export const isZoomed = () => zoomed;

function style(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function tones(figure) {
  return [...figure.querySelectorAll(":scope > .legend .swatch")].map((one) => style(one, "color"));
}

// Rows on top of each other: what is drawn is the sum up to each.
function stacked(rows) {
  let below = null;
  return rows.map((row) => {
    if (row.ghost) return row.values;
    below = row.values.map((value, index) => {
      const under = below ? below[index] : null;
      return value === null ? under : (under ?? 0) + value;
    });
    return below;
  });
}

function drawnOf(chart) {
  return chart.kind === "stack" ? stacked(chart.rows) : chart.rows.map((row) => row.values);
}

function fade(color, share) {
  return color.replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`).replace(/, /g, ",");
}

function seriesOf(chart, colors) {
  return chart.rows.map((row, index) => {
    const color = colors[index] || "gray";
    const solid = chart.kind === "stack" && !row.ghost;
    return {
      label: row.label,
      stroke: row.ghost ? fade(color, 0.8) : color,
      width: row.ghost ? 1 : solid ? 0.5 : 1.6,
      dash: row.ghost ? (row.tone === "p1" ? [5, 4] : [2, 3]) : undefined,
      fill: solid && index === 0 ? fade(color, 0.8) : undefined,
      // A value without neighbours is no line: it is a point.
      points: { show: true, size: 4, width: 0, fill: color, filter: (plot, index) => lonely(plot.data[index]) },
      spanGaps: false,
    };
  });
}

function lonely(values) {
  const known = (index) => values[index] !== null && values[index] !== undefined;
  return [...values.keys()].filter((index) => known(index) && !known(index - 1) && !known(index + 1));
}

// The last values; none of a row that ended before the others did. `drawings.py` says it alike.
export function lasts(rows) {
  const ends = rows.map((row) => row.values.findLastIndex((one) => one !== null));
  const latest = Math.max(...ends.filter((end, place) => !rows[place].ghost));
  return rows.map((row, place) => (ends[place] < 0 || (!row.ghost && ends[place] < latest - 3) ? null : row.values[ends[place]]));
}

function bandsOf(chart, colors) {
  const solid = chart.rows.map((row, index) => [row, index + 1]).filter(([row]) => !row.ghost);
  if (chart.kind === "stack")
    return solid.slice(1).map(([, index]) => ({ series: [index, index - 1], fill: fade(colors[index - 1], 0.8) }));
  if (chart.kind === "band" && solid.length > 1)
    return [{ series: [solid.at(-1)[1], solid[0][1]], fill: fade(colors[0], 0.16) }];
  return [];
}

// What happened: a dashed line, and its words while the pointer is near.
function marks(state) {
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = state.accent;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const mark of state.chart.marks) {
      const x = plot.valToPos(mark.at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
}

function near(state, at) {
  const width = state.chart.step * 2;
  const found = state.chart.marks.filter((mark) => Math.abs(mark.at - at) <= width);
  return found.map((mark) => `${mark.kind}: ${mark.text}`).join("; ");
}

// The legend says the values under the pointer, else the last ones.
function legend(state) {
  const { figure, chart, plot } = state;
  const index = plot.cursor.idx;
  const values = [...figure.querySelectorAll(":scope > .legend .value")];
  const last = lasts(chart.rows);
  chart.rows.forEach((row, place) => {
    const value = index === null || index === undefined ? last[place] : row.values[index];
    if (values[place]) values[place].textContent = show(value, chart.unit);
  });
  const at = index === null || index === undefined ? null : chart.times[index];
  const long = chart.times.at(-1) - chart.times[0] > 86400;
  const words = at === null ? "" : [said(at, long ? "long" : "clock"), near(state, at)].filter(Boolean).join(" · ");
  if (state.at.textContent !== words) state.at.textContent = words;
}

function axes(chart, look) {
  const font = `11px ${look.font}`;
  const common = { stroke: look.faint, font, ticks: { show: false } };
  return [
    {
      ...common,
      grid: { show: false },
      space: 70,
      size: 28,
      gap: 9,
      values: (plot, splits, axis, space, step) =>
        splits.map((at) => said(at, step >= 86400 ? "day" : step >= 60 ? "short" : "clock")),
    },
    {
      ...common,
      grid: { stroke: look.grid, width: 1 },
      space: 27,
      size: 62,
      gap: 4,
      values: (plot, splits) => splits.map((value) => show(value, chart.unit)),
    },
  ];
}

function look(figure) {
  const probe = (name) => {
    const one = document.createElement("i");
    one.className = `probe-${name}`;
    figure.append(one);
    const color = getComputedStyle(one).color;
    one.remove();
    return color;
  };
  return {
    faint: probe("faint"),
    grid: probe("grid"),
    accent: probe("accent"),
    font: getComputedStyle(document.body).fontFamily,
  };
}

// What is drawn over is seen larger; on the page of one metric it is asked for anew, finer.
function select(plot, figure) {
  zoomed = true;
  const { left, width } = plot.select;
  if (document.body.dataset.board !== "explore" || width < 4) return;
  const [from, to] = [left, left + width].map((x) => Math.round(plot.posToVal(x, "x")));
  const query = new URLSearchParams(location.search);
  query.delete("range");
  query.set("from", from);
  query.set("to", Math.max(to, from + 10));
  location.assign(`${location.pathname}?${query}`);
}

// The arrows move through the values as the pointer does.
function keys(state) {
  return (event) => {
    const { plot, chart } = state;
    const last = chart.times.length - 1;
    const at = plot.cursor.idx ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const place = Math.min(last, Math.max(0, to));
    plot.setCursor({ left: plot.valToPos(chart.times[place], "x"), top: 10 });
    state.spoken.textContent = [state.at.textContent, ...chart.rows.map((row) => `${row.label} ${show(row.values[place], chart.unit)}`)].join(", ");
  };
}

function make(figure, chart) {
  const place = figure.querySelector(".plot");
  const height = Math.max(150, Math.min(190, Math.round(place.clientWidth * 0.3)));
  const colors = tones(figure);
  const looks = look(figure);
  const at = figure.querySelector(".at") ?? document.createElement("span");
  at.className = "at";
  figure.querySelector("figcaption").append(at);
  const spoken = document.getElementById("spoken");
  const state = { figure, chart, at, spoken, accent: looks.accent, plot: null };
  const options = {
    width: place.clientWidth,
    height: figure.classList.contains("wide") ? 190 : height,
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: sync.key, setSeries: false },
      y: false,
      points: { size: 6, width: 1 },
      drag: { x: true, y: false, setScale: true },
    },
    scales: {
      x: { time: true },
      y: { range: (plot, low, high) => [Math.min(0, low ?? 0), Math.max(chart.top, (high ?? 0) * 1.06) || usual[chart.unit] || 1] },
    },
    series: [{}, ...seriesOf(chart, colors)],
    bands: bandsOf(chart, colors),
    axes: axes(chart, looks),
    hooks: {
      draw: [marks(state)],
      setCursor: [() => state.plot && legend(state)],
      setSelect: [(plot) => select(plot, figure)],
    },
  };
  place.replaceChildren();
  state.plot = new window.uPlot(options, [chart.times, ...drawnOf(chart)], place);
  place.addEventListener("dblclick", () => { zoomed = false; });
  place.dataset.drawn = "true";
  place.tabIndex = 0;
  place.setAttribute("role", "application");
  place.setAttribute("aria-roledescription", "chart");
  place.setAttribute("aria-label", `${chart.title}: the arrow keys read its values`);
  place.onkeydown = keys(state);
  return state;
}

const shape = (chart) => JSON.stringify([chart.kind, chart.unit, chart.rows.map((row) => [row.label, row.tone])]);

// Draw what the server has told; what is there already only gets its new values.
export function draw(board) {
  if (!window.uPlot) return;
  for (const chart of board.charts) {
    const figure = document.querySelector(`figure[data-key="${CSS.escape(chart.name)}"]`);
    if (!figure) continue;
    const known = charts.get(chart.name);
    if (known && known.figure === figure && known.figure.isConnected && shape(known.chart) === shape(chart)) {
      known.chart = Object.assign(known.chart, chart);
      known.plot.setData([chart.times, ...drawnOf(chart)], !zoomed);
      legend(known);
      continue;
    }
    known?.plot.destroy();
    charts.set(chart.name, make(figure, chart));
  }
}

// Colours have changed, or the width has.
export function redraw() {
  for (const [name, state] of charts) {
    state.plot.destroy();
    if (state.figure.isConnected) charts.set(name, make(state.figure, state.chart));
    else charts.delete(name);
  }
}

let waiting = 0;
export function watchSize() {
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 120);
  });
}

// A heat map: time to the right, duration upwards in doublings, colour by how many spans. Pure.

import {h, svg} from "../dom.js";
import {clock, count, day, duration, plural} from "../format.js";

const ROW_PX = 13;
const LABEL_EVERY = 2;

/** *body* of the heat endpoint as a figure; null when there is nothing in it. */
export function heat(body) {
  const {steps, rows, cells} = body;
  if (!cells.length) return null;
  const fullest = Math.max(...cells.map(([, , spans]) => spans));
  const heightPx = rows.length * ROW_PX;
  const drawn = cells.map((cell) => rect(cell, body, fullest));
  const labels = rows.map((row, at) => ((rows.length - 1 - at) % LABEL_EVERY === 0 ? label(row, rows.length - 1 - at) : null));
  const words = `${plural(cells.reduce((sum, [, , spans]) => sum + spans, 0), "span")} by duration over time; the fullest cell has ${count(fullest)}`;
  return h(
    "figure",
    {class: "heat"},
    h("div", {class: "heat-labels", "aria-hidden": "true", vars: {"--height": `${heightPx}px`}}, labels),
    svg("svg", {class: "heat-cells", role: "img", "aria-label": words, width: "100%", height: heightPx}, drawn),
    h("figcaption", null, h("span", null, moment(steps[0].from)), h("span", null, words), h("span", null, moment(steps.at(-1).to))),
  );
}

// Rooted, so that a cell of few spans is still seen beside one of thousands.
function rect([column, row, spans], {steps, rows}, fullest) {
  const width = 100 / steps.length;
  const where = `${moment(steps[column].from)} to ${moment(steps[column].to)}`;
  const how = rows[row].up_to_ms ? `${duration(rows[row].over_ms)} to ${duration(rows[row].up_to_ms)}` : "no time";
  return svg(
    "rect",
    {x: `${column * width}%`, width: `${width}%`, y: (rows.length - 1 - row) * ROW_PX, height: ROW_PX - 1, "fill-opacity": (0.12 + 0.88 * Math.sqrt(spans / fullest)).toFixed(3)},
    svg("title", null, `${where}, ${how}: ${plural(spans, "span")}`),
  );
}

function label(row, fromTop) {
  return h("span", {vars: {"--y": `${fromTop * ROW_PX}px`}}, duration(row.up_to_ms));
}

function moment(iso) {
  return `${day(iso)} ${clock(iso).slice(0, 5)}`;
}

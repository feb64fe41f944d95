// Percentiles on a logarithmic scale: a dot at p50, a thick line to p95, a thin one to p99.

import {h, svg} from "../dom.js";
import {duration, tick} from "../format.js";

/** `p99.9` of the fraction 0.999. */
export function percentile(share) {
  return `p${Number((share * 100).toPrecision(10))}`;
}

/** What people type, `p90, 99.9 0.25`, as the API's fractions; what is no number stays, so that the API says so. */
export function shares(text) {
  const pieces = (text ?? "").split(/[\s,;]+/).filter(Boolean);
  return pieces.map((piece) => {
    const [, p, digits] = piece.match(/^(p?)(\d+(?:\.\d+)?)%?$/i) ?? [null, "", ""];
    if (!digits) return piece;
    return String(p || Number(digits) > 1 ? Number((digits / 100).toPrecision(10)) : Number(digits));
  }).join(",");
}

/** The scale that holds all *operations*: whole decades, in ms. */
export function decades(operations) {
  const all = operations.flatMap((operation) => [operation.p50_ms, operation.p99_ms, ...Object.values(operation.quantiles_ms)]).filter((ms) => ms > 0);
  const low = Math.floor(Math.log10(Math.min(...all, 1e9)));
  const high = Math.ceil(Math.log10(Math.max(...all, 1e-9)));
  return all.length ? {low, high: Math.max(high, low + 1)} : {low: 0, high: 3};
}

/** One operation's percentiles as an SVG of full width; places are in percent, so it stretches. */
export function quantiles(operation, scale) {
  const [p50, p95, p99] = [operation.p50_ms, operation.p95_ms, operation.p99_ms].map((ms) => `${percent(ms, scale)}%`);
  const chosen = Object.entries(operation.quantiles_ms);
  const named = [["0.5", operation.p50_ms], ["0.95", operation.p95_ms], ["0.99", operation.p99_ms], ...chosen];
  const words = named.map(([share, ms]) => `${percentile(share)} ${duration(ms)}`).join(", ");
  return svg(
    "svg",
    {class: "quantiles", role: "img", "aria-label": words},
    rules(scale).map((x) => svg("line", {class: "rule", x1: `${x}%`, x2: `${x}%`, y1: 0, y2: "100%"})),
    svg("line", {class: "thin", x1: p50, x2: p99, y1: "50%", y2: "50%"}),
    svg("line", {class: "thick", x1: p50, x2: p95, y1: "50%", y2: "50%"}),
    svg("circle", {class: "p50", cx: p50, cy: "50%", r: 4}),
    chosen.map(([, ms]) => svg("line", {class: "chosen", x1: `${percent(ms, scale)}%`, x2: `${percent(ms, scale)}%`, y1: "32%", y2: "68%"})),
    svg("line", {class: "end", x1: p99, x2: p99, y1: "25%", y2: "75%"}),
  );
}

/** The scale's labels. */
export function scaleLabels(scale) {
  const label = (x, i) => h("span", {class: `tick${x > 94 ? " at-end" : x < 6 ? " at-start" : ""}`, vars: {"--x": `${x}%`}}, tick(10 ** (scale.low + i), 10 ** (scale.low + i)));
  // With many decades only every other one has room for its label.
  const every = scale.high - scale.low > 5 ? 2 : 1;
  return h("div", {class: "axis"}, rules(scale).map((x, i) => ((scale.high - scale.low - i) % every === 0 ? label(x, i) : null)));
}

// A small margin on both sides keeps dots whole.
function percent(ms, {low, high}) {
  const at = Math.log10(Math.max(ms, 10 ** low));
  return 2 + ((at - low) / (high - low)) * 96;
}

function rules({low, high}) {
  return Array.from({length: high - low + 1}, (_, i) => 2 + (i / (high - low)) * 96);
}

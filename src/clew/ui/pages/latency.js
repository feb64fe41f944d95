// How long operations take: p50, p95, p99 over days, by kind, name and model.

import * as api from "../api.js";
import {h, replace} from "../dom.js";
import {cost, count, duration, percent, plural, utc, visible} from "../format.js";
import {heat} from "../marks/heat.js";
import {KINDS, kindChip, kindClass} from "../marks/kinds.js";
import {decades, percentile, quantiles, scaleLabels, shares} from "../marks/quantiles.js";
import {href} from "../route.js";

const DAYS = [["1", "1 day", "24h"], ["7", "7 days", "7d"], ["30", "30 days", "30d"]];
const GROUPS = [["kind", "Operation type"], ["kind,name", "Name"], ["kind,model", "Model"], ["kind,name,model", "Name and model"]];
const MOST_ROWS = 500;

const COLUMNS = [
  {key: "operation_type", words: "Operation", text: true},
  {key: "count", words: "Count"},
  {key: "errors", words: "Errors"},
  {key: "p50_ms", words: "p50"},
  {key: "p95_ms", words: "p95"},
  {key: "p99_ms", words: "p99"},
  {key: "mean_ms", words: "Mean"},
  {key: "input_tokens", words: "Tokens in"},
  {key: "output_tokens", words: "Tokens out"},
  {key: "cost_usd", words: "Cost"},
];

/** The latency view; days, grouping, kind and order live in the address. */
export function latencyPage(host, route, app) {
  const page = {query: route.query, stop: new AbortController(), answer: null};
  const controls = h("div", {class: "latency-controls"});
  const result = h("div", {class: "latency-result", "aria-live": "polite"});
  const map = h("div", {class: "latency-heat"});
  replace(host, h("div", {class: "latency-page"}, h("div", {class: "list-bar"}, h("h1", null, "Latency")), controls, map, result));
  app.title("Latency");
  const go = (change) => app.go(href(["latency"], {...page.query, ...change}));

  async function read() {
    const {project, kind} = page.query;
    replace(controls, ...choices(page.query, go));
    if (!page.answer) replace(result, h("p", {class: "loading"}, "Reading the histograms…"));
    try {
      const asked = page.query;
      const answer = await api.latency({project, operation_type: kind, lookback_days: asked.days ?? "7", group_by: asked.group_by ?? "kind", quantiles: shares(asked.also)}, page.stop.signal);
      if (asked !== page.query) return;
      page.answer = answer;
      draw();
      await readHeat(asked);
    } catch (error) {
      if (error.name === "AbortError" || app.refused(error)) return;
      replace(result, h("p", {class: "note bad", role: "alert"}, error.message));
    }
  }

  // Beside the table and not before it: the figures are what most come for. Fitted: a week of which one minute has
  // spans would be one thin line.
  async function readHeat(asked) {
    const {project, kind, days} = asked;
    const body = await api.latencyHeat({project, operation_type: kind, lookback_days: days ?? "7", fit: "1"}, page.stop.signal);
    if (asked === page.query) replace(map, heat(body));
  }

  function draw() {
    const {operations, from, to} = page.answer;
    if (!operations.length) return replace(result, h("section", {class: "sorry"}, h("h2", null, "Nothing measured"), h("p", null, "No span of this kind ended in these days.")));
    return replace(result, table(ordered(operations, page.query), page.query, go), foot(operations, from, to));
  }

  read();
  return {
    update(next) {
      page.query = next.query;
      read();
      return true;
    },
    close: () => page.stop.abort(),
  };
}

function choices({days = "7", group_by: group = "kind", kind = "", also = ""}, go) {
  const segment = (name, label, options, chosen) =>
    h("div", {class: "segments", role: "group", "aria-label": label}, options.map(([value, words]) => h("button", {type: "button", "aria-pressed": String(value === chosen), on: {click: () => go({[name]: value})}}, words)));
  const options = [["", "every kind"], ...KINDS.map((name) => [name, name])];
  const select = h("select", {"aria-label": "Operation type", on: {change: (event) => go({kind: event.target.value})}}, options.map(([value, words]) => h("option", {value, selected: value === kind}, words)));
  const more = h("input", {type: "text", class: "also", value: also, autocomplete: "off", spellcheck: "false", "aria-label": "More percentiles", placeholder: "also p90, p99.9", title: "More percentiles: p90, or 0.9, with commas between", on: {change: (event) => go({also: event.target.value.trim()})}});
  return [segment("days", "Days to look back", DAYS, days), h("span", {class: "by"}, "by"), segment("group_by", "Group by", GROUPS, group), select, more];
}

// Those that were asked for stand behind p99, and are sorted by like every other.
function columnsOf(operations) {
  const chosen = Object.keys(operations[0]?.quantiles_ms ?? {}).sort((a, b) => a - b);
  const at = COLUMNS.findIndex(({key}) => key === "mean_ms");
  return [...COLUMNS.slice(0, at), ...chosen.map((share) => ({key: `q${share}`, words: percentile(share), share})), ...COLUMNS.slice(at)];
}

function valueOf(operation, {key, share}) {
  return share === undefined ? operation[key] : operation.quantiles_ms[share];
}

function ordered(operations, {sort = "p95_ms", up}) {
  const columns = columnsOf(operations);
  const by = columns.find(({key}) => key === sort) ?? columns.find(({key}) => key === "p95_ms");
  const sign = up ? 1 : -1;
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : (a ?? -1) - (b ?? -1));
  return [...operations].sort((a, b) => sign * compare(valueOf(a, by), valueOf(b, by))).slice(0, MOST_ROWS);
}

function table(operations, query, go) {
  const scale = decades(operations);
  const columns = columnsOf(operations);
  const head = h("tr", null, columns.map((column) => heading(column, query, go)), h("th", {class: "spread", scope: "col"}, scaleLabels(scale)));
  return h("div", {class: "scroll-x"}, h("table", {class: "latency"}, h("thead", null, head), h("tbody", null, operations.map((operation) => row(operation, scale, query, columns)))));
}

function heading({key, words, text}, {sort = "p95_ms", up}, go) {
  const chosen = sort === key;
  const click = () => go({sort: key, up: chosen && !up ? "1" : ""});
  return h("th", {scope: "col", class: text ? null : "number", "aria-sort": chosen ? (up ? "ascending" : "descending") : null}, h("button", {type: "button", on: {click}}, words, chosen ? (up ? " ↑" : " ↓") : ""));
}

function row(operation, scale, {project, days = "7"}, columns) {
  const kind = operation.operation_type.toLowerCase();
  const number = (words, extra = "") => h("td", {class: `number ${extra}`}, words);
  const address = href(["traces"], {kind, model: operation.model, range: DAYS.find(([value]) => value === days)?.[2], project});
  return h(
    "tr",
    {class: kindClass(kind)},
    h("th", {scope: "row"}, h("a", {href: address, title: "Traces that have such a span"}, kindChip(kind), operation.name ? h("bdi", {class: "op-name", title: visible(operation.name)}, visible(operation.name)) : null, operation.model ? h("bdi", {class: "op-model"}, visible(operation.model)) : null)),
    number(count(operation.count)),
    number(operation.errors ? [count(operation.errors), h("small", null, percent(operation.errors / operation.count))] : "–", operation.errors ? "bad-text" : "nothing"),
    number(duration(operation.p50_ms)),
    number(duration(operation.p95_ms), "strong"),
    number(duration(operation.p99_ms)),
    columns.filter(({share}) => share !== undefined).map((column) => number(duration(valueOf(operation, column)))),
    number(duration(operation.mean_ms)),
    number(operation.input_tokens ? count(operation.input_tokens) : "–"),
    number(operation.output_tokens ? count(operation.output_tokens) : "–"),
    number(operation.cost_usd ? cost(operation.cost_usd) : "–"),
    h("td", {class: "spread"}, quantiles(operation, scale)),
  );
}

function foot(operations, from, to) {
  const more = operations.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${plural(operations.length, "row")}. ` : "";
  return h("p", {class: "hint"}, more, "From histograms of every finished span, within 1 % of the true percentile. ", h("span", {title: `${utc(from)} to ${utc(to)}`}, "Dot p50, thick line to p95, thin line to p99, ticks at the others; the scale is logarithmic."));
}

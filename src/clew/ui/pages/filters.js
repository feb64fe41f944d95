// The filters of the list of traces: a form in, a query out. Their names are the API's own.

import {h, replace} from "../dom.js";
import {FLAGS} from "../marks/badges.js";
import {KINDS} from "../marks/kinds.js";
import {conditions} from "./conditions.js";

/** Relative ranges stay relative when an address is shared: "the last hour" is the reader's last hour. */
const RANGES = [
  ["15m", "last 15 minutes", 15 * 60],
  ["1h", "last hour", 3600],
  ["6h", "last 6 hours", 6 * 3600],
  ["24h", "last 24 hours", 86_400],
  ["7d", "last 7 days", 7 * 86_400],
  ["30d", "last 30 days", 30 * 86_400],
];

const NAMES = ["text", "range", "from", "to", "quality_flag", "status", "kind", "model", "name", "where", "user_id", "session_id", "min_latency_ms", "max_latency_ms", "min_tokens", "max_tokens", "min_cost_usd", "max_cost_usd"];

/** The API's query for what the address says. */
export function toQuery(said, nowMs) {
  const query = {project: said.project};
  for (const name of NAMES) if (said[name] && name !== "range" && name !== "where") query[name] = said[name];
  query.conditions = conditions(said.where);
  const range = RANGES.find(([name]) => name === said.range);
  if (range && !said.from) query.from = new Date(nowMs - range[2] * 1000).toISOString();
  return query;
}

/** How many filters are set. */
export function howMany(said) {
  return NAMES.filter((name) => said[name]).length;
}

/** `{element, set(said), refuse(error)}`; *changed(said)* with what the form says now. */
export function filterForm(changed) {
  const inputs = makeInputs();
  const problem = h("p", {class: "problem", role: "alert", id: "filter-problem"});
  const clear = h("button", {type: "button", class: "quiet", on: {click: () => changed({})}}, "Clear");
  const custom = h("div", {class: "custom-range"}, field("from", "From", inputs.from), field("to", "To", inputs.to));
  const form = h("form", {class: "filters", role: "search", "aria-label": "Filter the traces"}, ...layout(inputs), custom, h("button", {type: "submit", class: "primary"}, "Filter"), clear, problem);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed(read(inputs));
  });
  form.addEventListener("change", (event) => {
    if (event.target === inputs.range && inputs.range.value === "custom") custom.hidden = false;
    else if (event.target !== inputs.text) changed(read(inputs));
  });

  function set(said) {
    for (const name of NAMES) inputs[name].value = name === "from" || name === "to" ? toLocal(said[name]) : said[name] ?? "";
    const isCustom = Boolean(said.from || said.to);
    if (isCustom) inputs.range.value = "custom";
    custom.hidden = !isCustom;
    clear.hidden = howMany(said) === 0;
    refuse(null);
  }

  function refuse(error) {
    for (const input of Object.values(inputs)) input.removeAttribute("aria-invalid");
    problem.textContent = error ? error.message : "";
    if (!error) return;
    const about = Object.hasOwn(inputs, error.message.split(":")[0]) ? inputs[error.message.split(":")[0]] : null;
    about?.setAttribute("aria-invalid", "true");
    about?.setAttribute("aria-describedby", "filter-problem");
    (about?.closest(".field-box") ?? form).append(problem);
  }

  function suggest(models) {
    replace(inputs.models, models.map((model) => h("option", {value: model})));
  }

  return {element: form, set, refuse, suggest};
}

function makeInputs() {
  const text = (name, props = {}) => h("input", {type: "text", id: `f-${name}`, name, autocomplete: "off", spellcheck: "false", ...props});
  const choice = (name, options) => h("select", {id: `f-${name}`, name}, options.map(([value, words]) => h("option", {value}, words)));
  const bound = (name, placeholder) => text(name, {inputmode: "decimal", placeholder});
  const named = (values) => [["", "any"], ...values.map((value) => [value, value])];
  return {
    text: text("text", {type: "search", placeholder: "in questions, answers, names…"}),
    range: choice("range", [["", "any time"], ...RANGES, ["custom", "from … to …"]]),
    from: text("from", {type: "datetime-local", step: "1"}),
    to: text("to", {type: "datetime-local", step: "1"}),
    quality_flag: choice("quality_flag", [["", "any"], ...Object.entries(FLAGS).map(([flag, [words]]) => [flag, words])]),
    status: choice("status", named(["ok", "error", "unset"])),
    kind: choice("kind", named(KINDS)),
    model: text("model", {list: "models", placeholder: "any"}),
    models: h("datalist", {id: "models"}),
    name: text("name", {placeholder: "any"}),
    where: text("where", {placeholder: "tier=gold, top_k>=5, score.rating<=2, tag=beta", title: "Attributes, scores and tags, with commas between; name=value, name>=5, name<=5, name!=value, or a name alone"}),
    user_id: text("user_id", {placeholder: "any"}),
    session_id: text("session_id", {placeholder: "any"}),
    min_latency_ms: bound("min_latency_ms", "min"),
    max_latency_ms: bound("max_latency_ms", "max"),
    min_tokens: bound("min_tokens", "min"),
    max_tokens: bound("max_tokens", "max"),
    min_cost_usd: bound("min_cost_usd", "min"),
    max_cost_usd: bound("max_cost_usd", "max"),
  };
}

function layout(inputs) {
  return [
    field("text", "Text", inputs.text, "wide"),
    field("range", "Started", inputs.range),
    field("quality_flag", "Flag", inputs.quality_flag),
    field("status", "Status", inputs.status),
    field("kind", "Kind of span", inputs.kind),
    field("model", "Model", [inputs.model, inputs.models]),
    field("name", "Name of a span", inputs.name),
    field("user_id", "User", inputs.user_id),
    field("session_id", "Session", inputs.session_id),
    field("where", "Attributes", inputs.where, "wide"),
    pair(inputs, "latency_ms", "Duration, ms"),
    pair(inputs, "tokens", "Tokens"),
    pair(inputs, "cost_usd", "Cost, $"),
  ];
}

function pair(inputs, of, words) {
  const [least, most] = [inputs[`min_${of}`], inputs[`max_${of}`]];
  return h("div", {class: "field-box pair"}, h("label", {for: least.id}, words), h("div", null, least, h("span", {"aria-hidden": "true"}, "–"), labelled(most, `${words}, at most`)));
}

function labelled(input, words) {
  input.setAttribute("aria-label", words);
  return input;
}

function field(name, words, input, extra = "") {
  return h("div", {class: `field-box ${extra}`}, h("label", {for: `f-${name}`}, words), input);
}

function read(inputs) {
  const said = {};
  for (const name of NAMES) said[name] = inputs[name].value.trim();
  const isCustom = said.range === "custom";
  if (isCustom) said.range = "";
  said.from = isCustom ? toIso(said.from) : "";
  said.to = isCustom ? toIso(said.to) : "";
  return said;
}

// The form speaks the reader's zone, the address UTC, so that a shared address means the same instant.
function toIso(local) {
  const at = new Date(local);
  return local && !Number.isNaN(at.getTime()) ? at.toISOString().replace(".000Z", "Z") : "";
}

function toLocal(iso) {
  const at = new Date(iso ?? "");
  if (!iso || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

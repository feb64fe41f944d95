// One span, whole: what it was, took, got, gave, and everything its client said of it.

import {h} from "../dom.js";
import {clock, cost, count, day, digits, duration, oneLine, percent, utc, visible} from "../format.js";
import {kindChip} from "../marks/kinds.js";
import {tokenLine, tokenTimes} from "../marks/token_line.js";
import {copyButton, payload, readable} from "../marks/value.js";
import {href} from "../route.js";

/** The panel's elements for *row* of a trace that took *endMs*. */
export function spanPanel(row, {endMs, traceId, query}) {
  const {span} = row;
  const times = tokenTimes(span.attributes);
  return [
    heading(span),
    facts(row, endMs, times),
    times && streamed(times, span),
    notes("What was mended on receipt", span.problems, "warn"),
    span.status === "error" && span.status_message ? notes("Error", [span.status_message], "bad") : null,
    exceptions(span),
    captured("Inputs", span.inputs),
    captured("Outputs", span.outputs),
    table("Attributes", withoutTimes(span.attributes, times), {open: true}),
    events(span),
    links(span, {traceId, query}),
    table("Resource", span.resource, {open: false}),
    ids(span),
  ];
}

function heading(span) {
  return h(
    "header",
    {class: "panel-head"},
    h("h2", null, h("bdi", null, oneLine(span.name) || "(no name)")),
    h("p", null, kindChip(span.kind), span.status === "unset" ? null : h("span", {class: `badge ${span.status === "error" ? "bad" : "good"}`}, span.status), span.orphan && h("span", {class: "badge warn"}, "orphan: its parent has not come")),
  );
}

function facts(row, endMs, times) {
  const {span} = row;
  const tokens = span.input_tokens !== null || span.output_tokens !== null;
  const said = [
    ["Duration", duration(span.duration_ms), row.running ? "" : `${percent((span.duration_ms ?? 0) / endMs)} of the trace`],
    ["Own time", row.childCount ? duration(row.selfMs) : null, "outside its children"],
    ["Starts at", row.startMs > 0 ? `+${duration(row.startMs)}` : "+0", `${day(span.started_at)} ${clock(span.started_at)}`, utc(span.started_at)],
    ["First token", span.first_token_ms === null ? null : duration(span.first_token_ms), "after its start"],
    ["Speed", times?.perSecond ? `${digits(times.perSecond, 3)} tokens/s` : null, "after the first"],
    ["Model", span.model && visible(span.model)],
    ["Strategy", span.strategy && visible(span.strategy)],
    ["Tokens", tokens ? `${count(span.input_tokens)} → ${count(span.output_tokens)}` : null, "in → out"],
    ["Cost", span.cost_usd === null ? null : cost(span.cost_usd)],
    ["Confidence", span.confidence === null ? null : span.confidence.toFixed(2), "of 1"],
    ["User", span.user_id && visible(span.user_id)],
    ["Session", span.session_id && visible(span.session_id)],
  ];
  const shown = said.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", {class: "facts"}, shown.map(([name, value, note, title]) => h("div", {title}, h("dt", null, name), h("dd", null, h("bdi", null, value), note ? h("small", null, note) : null))));
}

function notes(title, texts, tone) {
  if (!texts?.length) return null;
  return h("section", {class: `note ${tone}`}, h("h3", null, title), texts.map((text) => h("p", {dir: "auto"}, visible(text))));
}

function streamed(times, span) {
  return h("section", {class: "captured", "data-part": "tokens"}, h("h3", null, "Tokens ", h("small", null, count(times.count))), tokenLine(times, span.duration_ms));
}

// Thousands of numbers that are drawn already.
function withoutTimes(attributes, times) {
  return times ? Object.fromEntries(Object.entries(attributes).filter(([key]) => key !== "clew.tokens")) : attributes;
}

// An exception's stack trace is what one opens a failed span for, so it comes before the payload.
function exceptions(span) {
  const raised = span.events.filter(isException);
  return raised.map(({attributes, at_ms: atMs}) =>
    h(
      "section",
      {class: "note bad"},
      h("h3", null, visible(attributes["exception.type"] ?? "Exception"), h("small", null, `at +${duration(atMs)}`)),
      attributes["exception.message"] ? h("p", {dir: "auto"}, visible(attributes["exception.message"])) : null,
      attributes["exception.stacktrace"] ? h("div", {class: "stack"}, readable(String(attributes["exception.stacktrace"]))) : null,
    ),
  );
}

function isException(event) {
  return event.name === "exception" && Object.keys(event.attributes).some((key) => key.startsWith("exception."));
}

function captured(title, value) {
  if (value === null || value === undefined) return null;
  return h("section", {class: "captured", "data-part": title.toLowerCase()}, h("h3", null, title), payload(value));
}

function table(title, values, {open}) {
  const entries = Object.entries(values ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (!entries.length) return null;
  const rows = entries.map(([key, said]) => h("tr", null, h("th", {scope: "row"}, h("bdi", null, visible(key))), h("td", null, readable(said, 2))));
  return h("details", {class: "part", open}, h("summary", null, title, h("small", null, count(entries.length))), h("table", {class: "attributes"}, h("tbody", null, rows)));
}

function events(span) {
  const others = span.events.filter((event) => !isException(event));
  if (!others.length) return null;
  const some = others.slice(0, 500);
  const one = (event) => h("li", null, h("span", {class: "at"}, `+${duration(event.at_ms)}`), h("bdi", {class: "key"}, visible(event.name)), Object.keys(event.attributes).length ? readable(event.attributes, 3) : null);
  const rest = others.length > some.length ? h("p", {class: "nothing"}, `and ${count(others.length - some.length)} more`) : null;
  return h("details", {class: "part", open: others.length <= 20}, h("summary", null, "Events", h("small", null, count(others.length))), h("ol", {class: "events"}, some.map(one)), rest);
}

function links(span, {traceId, query}) {
  if (!span.links.length) return null;
  const one = (link) => h("li", null, linkTo(link, {traceId, query}), Object.keys(link.attributes ?? {}).length ? readable(link.attributes, 3) : null);
  return h("details", {class: "part", open: true}, h("summary", null, "Links", h("small", null, count(span.links.length))), h("ul", {class: "events"}, span.links.slice(0, 200).map(one)));
}

function linkTo(link, {traceId, query}) {
  const words = link.trace_id === traceId ? `span ${link.span_id}` : `trace ${link.trace_id}, span ${link.span_id}`;
  return h("a", {class: "mono", href: href(["traces", link.trace_id], {span: link.span_id, project: query.project})}, visible(words));
}

function ids(span) {
  const one = (name, value) => value && h("div", null, h("dt", null, name), h("dd", {class: "mono"}, visible(value), copyButton(() => value)));
  return h("dl", {class: "ids"}, one("Span", span.span_id), one("Parent", span.parent_id), one("Scope", span.scope), one("OTel kind", span.otel_kind));
}

// The list of traces: a table row each.

import {h} from "../dom.js";
import {ago, clock, count, day, duration, oneLine, utc, visible} from "../format.js";
import {href} from "../route.js";
import {flagBadge, statusBadge, wholeness} from "./badges.js";

const STATUS_WORDS = {ok: "ok", error: "failed", unset: "no status"};

/** The table around *body*, which holds the rows. */
export function tracesTable(body) {
  const heads = ["Started", "Request", "Verdict", "Duration", "Spans", "Model, tokens", "User"];
  return h("table", {class: "traces"}, h("caption", {class: "unseen"}, "Traces, newest first"), h("thead", null, h("tr", null, heads.map((words) => h("th", {scope: "col", class: words === "Spans" ? "number" : null}, words)))), body);
}

/** One trace; its bar is relative to *longestMs*, the longest on the page. */
export function traceRow(trace, {longestMs, project}) {
  const address = href(["traces", trace.trace_id], {project});
  const share = trace.duration_ms === null ? 0 : Math.max(0.5, (trace.duration_ms / (longestMs || 1)) * 100);
  return h(
    "tr",
    {"data-trace": trace.trace_id, class: trace.status === "error" ? "is-error" : null},
    h("td", {class: "when", title: utc(trace.started_at)}, clock(trace.started_at), h("small", {class: "age"}, age(trace.started_at))),
    h("td", {class: "request"}, request(trace, address), h("small", {class: "answer", dir: "auto", title: trace.output_preview && visible(trace.output_preview)}, answer(trace))),
    h("td", {class: "judged"}, h("span", null, flagBadge(trace.flag, trace.flag_reason), statusBadge(trace), wholeness(trace)), h("small", {title: visible(trace.flag_reason ?? "")}, trace.flag === "NORMAL" ? STATUS_WORDS[trace.status] : visible(trace.flag_reason ?? ""))),
    h("td", {class: "duration"}, duration(trace.duration_ms), h("span", {class: "meter", "aria-hidden": "true", vars: {"--w": `${share}%`}})),
    h("td", {class: "number spans"}, count(trace.span_count)),
    h("td", {class: "model"}, h("bdi", null, models(trace)), h("small", null, tokens(trace))),
    h("td", {class: "user"}, link("user_id", trace.user_id, project), h("small", null, link("session_id", trace.session_id, project))),
  );
}

/** A trace's age if it is of the last day, else its day. */
export function age(iso) {
  return Date.now() - Date.parse(iso) < 86_400_000 ? ago(iso) : day(iso);
}

function request(trace, address) {
  const question = trace.input_preview ? oneLine(trace.input_preview) : null;
  return h("a", {href: address, title: trace.input_preview && visible(trace.input_preview)}, h("bdi", {class: "trace-name"}, oneLine(trace.name, 120) || "(no name)"), question ? " " : null, question && h("bdi", {class: "question"}, question));
}

function answer(trace) {
  if (trace.output_preview) return oneLine(trace.output_preview);
  return trace.response_chars === null ? "answer not captured" : "no answer";
}

function models({models: used}) {
  if (!used.length) return "–";
  return visible(used[0]) + (used.length > 1 ? ` +${used.length - 1}` : "");
}

function tokens({input_tokens: given, output_tokens: made}) {
  return given || made ? `${count(given)} → ${count(made)}` : "";
}

function link(name, value, project) {
  return value ? h("a", {href: href(["traces"], {[name]: value, project}), title: `Only this ${name === "user_id" ? "user" : "session"}`}, h("bdi", null, visible(value))) : null;
}

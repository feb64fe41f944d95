// What a trace was, above its waterfall: verdict, question and answer, figures, and links to its like.

import {h} from "../dom.js";
import {ago, clock, cost, count, day, duration, oneLine, utc, visible} from "../format.js";
import {flagBadge, statusBadge, wholeness} from "../marks/badges.js";
import {copyButton} from "../marks/value.js";
import {href} from "../route.js";
import {scoreText} from "./scores.js";

/** The elements of the head; *reload* reads the trace again. */
export function traceHead({trace, scores}, {query, reload}) {
  const {project} = query;
  const filter = (name, value) => value && h("a", {class: "chip", href: href(["traces"], {[name]: value, project})}, h("bdi", null, visible(value)));
  return [
    h(
      "div",
      {class: "trace-title"},
      h("a", {class: "back", href: href(["traces"], {project}), "aria-label": "Back to the traces"}, "‹"),
      h("h1", null, h("bdi", null, oneLine(trace.name) || "(no name)")),
      statusBadge(trace),
      wholeness(trace),
      h("span", {class: "verdict"}, flagBadge(trace.flag, trace.flag_reason), h("small", null, visible(trace.flag_reason ?? ""))),
      h("span", {class: "grow"}),
      h("span", {class: "trace-id"}, h("code", null, trace.trace_id), copyButton(() => trace.trace_id, "copy id")),
      h("button", {type: "button", class: "quiet small", on: {click: reload}, title: "Read it again"}, "refresh"),
    ),
    h("div", {class: "asked"}, preview("Asked", trace.input_preview), preview("Answered", trace.output_preview)),
    h(
      "dl",
      {class: "facts wide"},
      fact("Started", `${day(trace.started_at)} ${clock(trace.started_at)}`, ago(trace.started_at), utc(trace.started_at)),
      fact("Duration", duration(trace.duration_ms)),
      fact("Spans", count(trace.span_count)),
      fact("Tokens", trace.input_tokens || trace.output_tokens ? `${count(trace.input_tokens)} → ${count(trace.output_tokens)}` : null, "in → out"),
      fact("Cost", trace.cost_usd === null ? null : cost(trace.cost_usd)),
      fact(trace.models.length > 1 ? "Models" : "Model", trace.models.length ? trace.models.map((model) => filter("model", model)) : null),
      fact("Strategy", trace.strategy && visible(trace.strategy)),
      fact("Confidence", trace.confidence === null ? null : trace.confidence.toFixed(2)),
      fact("Score", worstScore(trace, scores)),
      fact("User", filter("user_id", trace.user_id)),
      fact("Session", filter("session_id", trace.session_id)),
    ),
  ];
}

function worstScore(trace, scores) {
  if (!trace.score) return scores.length ? `${count(scores.length)} given` : null;
  return scoreText(trace.score);
}

function preview(name, text) {
  return text ? h("p", null, h("b", null, name), h("bdi", {title: visible(text)}, oneLine(text))) : null;
}

function fact(name, value, note, title) {
  return value ? h("div", {title}, h("dt", null, name), h("dd", null, value, note ? h("small", null, note) : null)) : null;
}

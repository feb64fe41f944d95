// What people and programs thought of a trace, and a small form to say it.

import * as api from "../api.js";
import {announce, h} from "../dom.js";
import {clock, day, digits, utc, visible} from "../format.js";

/** The scores of *traceId*, and the form; *changed* is called once a new score is stored. */
export function scoresPanel({traceId, project, scores, span, changed}) {
  return [
    h("h2", null, "Scores"),
    scores.length ? h("ul", {class: "scores"}, scores.map(one)) : h("p", {class: "nothing"}, "Nobody has scored this trace."),
    form({traceId, project, span, changed}),
  ];
}

/** "2 of 5" */
export function scoreText({value, best}) {
  return `${digits(value, 3)} of ${digits(best, 3)}`;
}

function one(score) {
  const share = Math.max(0, Math.min(1, score.value / score.best));
  return h(
    "li",
    null,
    h("b", null, scoreText(score)),
    h("span", {class: "meter", "aria-hidden": "true", vars: {"--w": `${share * 100}%`}}),
    h("bdi", {class: "key"}, visible(score.name)),
    score.label ? h("bdi", {class: "badge calm"}, visible(score.label)) : null,
    h("small", {title: utc(score.at)}, `by ${score.source}`, score.span_id ? ` on span ${score.span_id}` : "", `, ${day(score.at)} ${clock(score.at)}`),
    score.comment ? h("p", {dir: "auto"}, visible(score.comment)) : null,
  );
}

function form({traceId, project, span, changed}) {
  const problem = h("p", {class: "problem", role: "alert"});
  const comment = h("input", {type: "text", name: "comment", placeholder: "why? (optional)", maxlength: 2000, "aria-label": "Comment"});
  const onSpan = span && h("label", {class: "check"}, h("input", {type: "checkbox", name: "on_span"}), "only the selected span, ", h("bdi", null, visible(span.name).slice(0, 60)));
  const stars = [1, 2, 3, 4, 5].map((value) => h("label", {class: "star"}, h("input", {type: "radio", name: "value", value, required: true}), h("span", null, value)));
  async function submit(event) {
    event.preventDefault();
    const given = new FormData(event.target);
    problem.textContent = "";
    // A name of its own: the operator's score must not replace the user's "rating" of the same trace.
    const body = {trace_id: traceId, name: "review", value: Number(given.get("value")), best: 5, comment: given.get("comment"), source: "user"};
    if (given.get("on_span")) body.span_id = span.span_id;
    try {
      const {flag} = await api.score(body, project);
      announce(flag ? `Scored. The trace is ${flag} now.` : "Scored.");
      await changed();
    } catch (error) {
      problem.textContent = error.message;
    }
  }
  return h(
    "form",
    {class: "score-form", on: {submit}},
    h("fieldset", null, h("legend", null, "Score it, 1 (bad) to 5 (good)"), h("div", {class: "stars"}, stars)),
    comment,
    onSpan,
    h("button", {type: "submit", class: "primary"}, "Save score"),
    problem,
    h("p", {class: "hint"}, "A score of 1 or 2 flags the trace as user negative."),
  );
}

// Verdicts as small words: the quality flag, the status, what is not whole.

import {h} from "../dom.js";
import {oneLine, plural} from "../format.js";

export const FLAGS = {
  USER_NEGATIVE: ["user negative", "bad"],
  EMPTY: ["empty", "warn"],
  LOW_CONFIDENCE: ["low confidence", "unsure"],
  NORMAL: ["normal", "calm"],
};

/** The quality flag; the reason is its tooltip. */
export function flagBadge(flag, reason) {
  const [words, tone] = Object.hasOwn(FLAGS, flag) ? FLAGS[flag] : [String(flag), "calm"];
  return h("span", {class: `badge ${tone}`, title: reason ? oneLine(reason) : null}, words);
}

/** "error", with how many spans failed; nothing when all went well. */
export function statusBadge(trace) {
  if (trace.status === "error") return h("span", {class: "badge bad solid", title: plural(trace.error_count, "span") + " failed"}, "error");
  if (trace.error_count) return h("span", {class: "badge bad", title: "Failed inside and was caught: the request as a whole did not fail"}, plural(trace.error_count, "caught error"));
  return null;
}

/** What has not come (yet): a root, parents, an end. */
export function wholeness(trace) {
  if (trace.has_root && !trace.orphan_count && trace.duration_ms !== null) return null;
  if (!trace.has_root) return h("span", {class: "badge warn", title: "The root span has not come (yet)"}, "no root yet");
  if (trace.orphan_count) return h("span", {class: "badge warn", title: "Their parents have not come (yet)"}, plural(trace.orphan_count, "orphan"));
  return h("span", {class: "badge warn"}, "running");
}

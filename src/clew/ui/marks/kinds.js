// The kinds of span: their order, their words, and the class that gives each its colour.

import {h} from "../dom.js";
import {count} from "../format.js";

export const KINDS = ["root", "chain", "agent", "classification", "embedding", "retrieval", "rerank", "generation", "tool", "capability", "guardrail", "evaluation", "other"];

const KNOWN = new Set(KINDS);

/** `k-…`; a kind that this page does not know looks like `other`. */
export function kindClass(kind) {
  return `k-${KNOWN.has(kind) ? kind : "other"}`;
}

/** A kind as a small coloured word. */
export function kindChip(kind) {
  return h("span", {class: `kind ${kindClass(kind)}`}, h("span", {class: "kind-dot"}), kind);
}

/** The kinds of *rows* with their counts; pressing one dims the others. */
export function legend(rows, {only, choose}) {
  const counts = new Map();
  for (const {span} of rows) counts.set(span.kind, (counts.get(span.kind) ?? 0) + 1);
  const button = (kind) =>
    h(
      "button",
      {type: "button", class: `kind ${kindClass(kind)}`, "aria-pressed": String(only === kind), on: {click: () => choose(only === kind ? "" : kind)}},
      h("span", {class: "kind-dot"}),
      kind,
      h("small", null, count(counts.get(kind))),
    );
  return [...counts.keys()].sort((a, b) => KINDS.indexOf(a) - KINDS.indexOf(b)).map(button);
}

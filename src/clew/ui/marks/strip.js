// The latency of each kind of operation in one line: p50, p95, p99.

import {h} from "../dom.js";
import {count, duration} from "../format.js";
import {href} from "../route.js";
import {KINDS, kindClass} from "./kinds.js";

/** *operations* of the latency endpoint, grouped by kind; each links to the latency view. */
export function strip(operations, {project}) {
  const order = (operation) => KINDS.indexOf(operation.operation_type.toLowerCase());
  return [...operations].sort((a, b) => order(a) - order(b)).map((operation) => card(operation, project));
}

function card(operation, project) {
  const kind = operation.operation_type.toLowerCase();
  const figure = (name, ms) => h("span", null, h("small", null, name), duration(ms));
  return h(
    "a",
    {class: `card ${kindClass(kind)}`, href: href(["latency"], {kind, group_by: "kind,name", project}), title: `${count(operation.count)} in the last 7 days`},
    h("span", {class: "card-name"}, h("span", {class: "kind-dot"}), kind, operation.errors ? h("em", null, `${count(operation.errors)} failed`) : null),
    h("span", {class: "card-figures"}, figure("p50", operation.p50_ms), figure("p95", operation.p95_ms), figure("p99", operation.p99_ms)),
  );
}

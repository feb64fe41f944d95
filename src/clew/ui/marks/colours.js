// A canvas cannot use classes, so it asks the style sheet which colour each kind has.

import {h} from "../dom.js";
import {kindClass} from "./kinds.js";

/** What the style sheet says of *name* at *element*. */
export function cssValue(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

/** A function from a kind to its colour, as it is now: light or dark. */
export function colours(element) {
  const known = new Map();
  return (kind) => {
    if (!known.has(kind)) {
      const probe = h("i", {class: kindClass(kind), hidden: true});
      element.append(probe);
      known.set(kind, cssValue(probe, "--kind"));
      probe.remove();
    }
    return known.get(kind);
  };
}

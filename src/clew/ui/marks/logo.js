// A ball of thread, and its loose end.

import {svg} from "../dom.js";

export function logo() {
  return svg(
    "svg",
    {viewBox: "0 0 32 32", class: "logo", "aria-hidden": "true"},
    svg("circle", {cx: 14, cy: 14, r: 10.5}),
    svg("path", {d: "M5.2 10.2c5.6-1.6 12.6 1 17.4 7.2M4 15.5c5.2-1.3 10.6 1.2 14.6 8M8.6 5.4c5.8-.2 11.4 2.6 15.6 7.6"}),
    svg("path", {d: "M20.5 22.3c2.6 3.4 5 5.6 9.5 6.2"}),
  );
}

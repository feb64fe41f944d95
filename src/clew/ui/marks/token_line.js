// When a stream's tokens came: a tick for each on the span's time, as high as many came together.

import {svg} from "../dom.js";
import {count, duration} from "../format.js";

const BINS = 160;

/** What `clew.tokens` of *attributes* tells: {offsetsMs, count, perSecond}; null where it is none. */
export function tokenTimes(attributes) {
  const told = attributes?.["clew.tokens"];
  if (!Array.isArray(told) || !told.length || !told.every((gap) => Number.isFinite(gap) && gap >= 0)) return null;
  const every = atLeastOne(attributes["clew.tokens_every"]);
  let atUs = 0;
  const offsetsMs = told.map((gap) => (atUs += gap) / 1000);
  const tookS = (offsetsMs.at(-1) - offsetsMs[0]) / 1000;
  const perSecond = tookS > 0 ? ((told.length - 1) * every) / tookS : null;
  return {offsetsMs, count: Math.max(atLeastOne(attributes["clew.token_count"]), told.length), perSecond};
}

/** The ticks of *times* over a span of *durationMs*, stretched over the full width; never more than `BINS`. */
export function tokenLine(times, durationMs) {
  const endMs = Math.max(durationMs ?? 0, times.offsetsMs.at(-1), 1e-6);
  const bins = new Array(BINS).fill(0);
  for (const ms of times.offsetsMs) bins[Math.min(BINS - 1, Math.floor((ms / endMs) * BINS))] += 1;
  const most = Math.max(...bins);
  const words = `${count(times.count)} tokens, the first after ${duration(times.offsetsMs[0])}`;
  const ticks = bins.map((held, i) => held && svg("rect", {x: i, width: 0.7, y: 20 - height(held, most), height: height(held, most)}));
  return svg("svg", {class: "token-line", role: "img", "aria-label": words, viewBox: `0 0 ${BINS} 20`, preserveAspectRatio: "none"}, ticks.filter(Boolean));
}

function height(held, most) {
  return 6 + (14 * held) / most;
}

function atLeastOne(value) {
  return Number.isInteger(value) && value > 0 ? value : 1;
}

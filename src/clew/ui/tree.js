// A trace's spans as a tree that can be walked without recursion: it may be a hundred thousand deep. Pure.

/**
 * Give each span its place. *spans* come in tree order with `depth`, so a subtree is a run of the array:
 * it ends before `last`. Times are milliseconds since the trace began.
 */
export function plant(spans) {
  const open = [];
  const rows = spans.map((span, index) => {
    while (open.length && open[open.length - 1].span.depth >= span.depth) open.pop().last = index;
    const parent = open[open.length - 1] ?? null;
    if (parent) parent.childCount += 1;
    const row = newRow(span, index, parent);
    open.push(row);
    return row;
  });
  for (const row of open) row.last = rows.length;
  const endMs = rows.reduce((latest, row) => Math.max(latest, row.endMs ?? row.startMs), 0);
  for (const row of rows) row.untilMs = row.endMs ?? endMs;
  measureSelf(rows);
  return {rows, endMs: endMs || 0.001};
}

function newRow(span, index, parent) {
  const startMs = span.start_ms;
  const running = span.duration_ms === null;
  return {span, index, parent, startMs, running, endMs: running ? null : startMs + span.duration_ms, untilMs: 0, last: 0, childCount: 0, selfMs: 0};
}

// Self time: a span's own time less the union of its children's. Siblings come by start, so one sweep does it.
function measureSelf(rows) {
  const covered = new Map();
  for (const row of rows) {
    row.selfMs += row.untilMs - row.startMs;
    const {parent} = row;
    if (!parent) continue;
    const from = Math.max(row.startMs, parent.startMs, covered.get(parent) ?? -Infinity);
    const to = Math.min(row.untilMs, parent.untilMs);
    if (to > from) parent.selfMs -= to - from;
    covered.set(parent, Math.max(to, covered.get(parent) ?? -Infinity));
  }
  for (const row of rows) row.selfMs = Math.max(0, row.selfMs);
}

/** The rows that show while the spans in *collapsed* (a set of indexes) hide what is below them. */
export function unfolded(rows, collapsed) {
  const shown = [];
  for (let index = 0; index < rows.length; ) {
    shown.push(rows[index]);
    index = collapsed.has(index) ? rows[index].last : index + 1;
  }
  return shown;
}

/** The span with the most time of its own: where looking first pays. */
export function slowest(rows) {
  return rows.reduce((slow, row) => (slow && slow.selfMs >= row.selfMs ? slow : row), null);
}

/**
 * What the answer waited for: `Map(index -> [[fromMs, toMs], …])`. Shortening anything else changes nothing.
 *
 * Walk back from the end of the first top: the child that ended last held its parent up; before that child
 * began, the one that had ended last by then; between them, the parent itself.
 */
export function criticalPath(rows) {
  const path = new Map();
  if (!rows.length) return path;
  const children = childrenByEnd(rows);
  const todo = [[rows[0], rows[0].untilMs]];
  while (todo.length) {
    const [row, until] = todo.pop();
    const own = [];
    let at = Math.min(until, row.untilMs);
    for (const child of children.get(row) ?? []) {
      const end = Math.min(child.untilMs, row.untilMs);
      if (end > at || child.startMs >= at) continue;
      if (end < at) own.push([end, at]);
      todo.push([child, end]);
      at = Math.max(child.startMs, row.startMs);
    }
    if (at > row.startMs) own.push([row.startMs, at]);
    path.set(row.index, own);
  }
  return path;
}

function childrenByEnd(rows) {
  const children = new Map();
  for (const row of rows) {
    if (!row.parent) continue;
    const siblings = children.get(row.parent);
    if (siblings) siblings.push(row);
    else children.set(row.parent, [row]);
  }
  for (const siblings of children.values()) siblings.sort((a, b) => b.untilMs - a.untilMs);
  return children;
}

/** What a search looks through, lower case; computed once for each row. */
export function haystack(row) {
  row.haystack ??= textOf(row.span).toLowerCase();
  return row.haystack;
}

function textOf({name, kind, model, status_message: message, span_id: id, attributes, inputs, outputs, events}) {
  try {
    return [name, kind, model, message, id, JSON.stringify([attributes, inputs, outputs, events])].join("\n");
  } catch {
    return [name, kind, model, message, id].join("\n"); // Too deep to write out.
  }
}

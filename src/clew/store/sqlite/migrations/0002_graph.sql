-- 0002: the execution graph (see schema.sql for what each is for). New tables only. What is stored already becomes
-- due to be learned: one small row for each trace is written, a second or two for a million of them.

-- How far each project's graph is: its version grows with every change.
CREATE TABLE graph_versions (
  project_id    INTEGER PRIMARY KEY,
  version       INTEGER NOT NULL,
  trace_count   INTEGER NOT NULL,  -- traces that were learned
  variant_count INTEGER NOT NULL   -- rows of graph_variants
) STRICT;

-- What was called, one row for each kind and name. A node keeps its id for ever.
CREATE TABLE graph_nodes (
  node_id     INTEGER PRIMARY KEY,
  project_id  INTEGER NOT NULL,
  kind        TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  count       INTEGER NOT NULL,
  failures    INTEGER NOT NULL,
  ended       INTEGER NOT NULL,  -- calls that ended: what duration_ns is the sum over
  duration_ns INTEGER NOT NULL,
  heat        INTEGER NOT NULL,  -- clew.graph.heat
  last_ns     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX graph_nodes_by_name ON graph_nodes (project_id, kind, name);

-- One row for each origin, target and type: contains, sequence, provides, dependency.
CREATE TABLE graph_edges (
  project_id  INTEGER NOT NULL,
  origin_id   INTEGER NOT NULL,
  target_id   INTEGER NOT NULL,
  type        TEXT    NOT NULL,
  count       INTEGER NOT NULL,  -- observations that were sure
  inferred    INTEGER NOT NULL,  -- observations whose nesting was guessed from time
  failures    INTEGER NOT NULL,  -- of the target
  declared    INTEGER NOT NULL,  -- templates that name it
  duration_ns INTEGER NOT NULL,  -- of the target
  heat        INTEGER NOT NULL,
  last_ns     INTEGER NOT NULL,
  exemplars   BLOB    NOT NULL,  -- the newest few, newest first: 8 bytes of when the trace ended, 16 of its id
  PRIMARY KEY (project_id, origin_id, target_id, type)
) STRICT, WITHOUT ROWID;

-- The ways in which scopes ran: the calls directly below one capability, or at the top of a trace.
CREATE TABLE graph_variants (
  variant_id  INTEGER PRIMARY KEY,
  project_id  INTEGER NOT NULL,
  digest      BLOB    NOT NULL,  -- of scope, steps and whether they were cut
  scope_id    INTEGER NOT NULL,  -- 0: the top of a trace
  truncated   INTEGER NOT NULL,
  count       INTEGER NOT NULL,
  failures    INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
  heat        INTEGER NOT NULL,
  last_ns     INTEGER NOT NULL,
  exemplars   BLOB    NOT NULL,  -- as in graph_edges
  steps       TEXT    NOT NULL   -- JSON: clew.store.graph_rows
) STRICT;

CREATE UNIQUE INDEX graph_variants_by_digest ON graph_variants (project_id, digest);

-- Parts of the graph that can be compared: 'day:2026-11-21', 'version:1.4.2'.
CREATE TABLE graph_slices (
  slice_id    INTEGER PRIMARY KEY,
  project_id  INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  trace_count INTEGER NOT NULL,
  last_ns     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX graph_slices_by_name ON graph_slices (project_id, name);

CREATE TABLE graph_slice_nodes (
  slice_id    INTEGER NOT NULL,
  node_id     INTEGER NOT NULL,
  count       INTEGER NOT NULL,
  failures    INTEGER NOT NULL,
  ended       INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
  PRIMARY KEY (slice_id, node_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE graph_slice_edges (
  slice_id    INTEGER NOT NULL,
  origin_id   INTEGER NOT NULL,
  target_id   INTEGER NOT NULL,
  type        TEXT    NOT NULL,
  count       INTEGER NOT NULL,
  inferred    INTEGER NOT NULL,
  failures    INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
  PRIMARY KEY (slice_id, origin_id, target_id, type)
) STRICT, WITHOUT ROWID;

-- Declared workflows: as they were written, and what they declare.
CREATE TABLE graph_templates (
  project_id  INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  source_text TEXT    NOT NULL,
  declares    TEXT    NOT NULL,  -- JSON: clew.store.graph_rows
  at_ns       INTEGER NOT NULL,
  PRIMARY KEY (project_id, name)
) STRICT;

-- Arms with their weights. A row is never changed but for its share of the traffic.
CREATE TABLE graph_arms (
  project_id INTEGER NOT NULL,
  question   TEXT    NOT NULL,
  version    INTEGER NOT NULL,
  arm        TEXT    NOT NULL,
  weights    TEXT    NOT NULL,  -- JSON
  note       TEXT    NOT NULL,
  created_ns INTEGER NOT NULL,
  share      REAL    NOT NULL,  -- 0: not chosen
  PRIMARY KEY (project_id, question, version)
) STRICT, WITHOUT ROWID;

-- What was suggested, and what came of it.
CREATE TABLE graph_suggestions (
  project_id     INTEGER NOT NULL,
  suggestion_id  TEXT    NOT NULL,
  question       TEXT    NOT NULL,
  arm            TEXT    NOT NULL,
  arm_version    INTEGER NOT NULL,
  trace_id       TEXT    NOT NULL,
  parent_span_id TEXT    NOT NULL,  -- empty: at the top
  at_ns          INTEGER NOT NULL,
  ranked         TEXT    NOT NULL,  -- JSON: [[kind, name], ...]
  probabilities  TEXT    NOT NULL,  -- JSON
  outcome        TEXT,              -- JSON: [kind, name]
  rank           INTEGER NOT NULL,  -- from 1; 0: not among the ranked
  state          INTEGER NOT NULL,  -- 0 open, 1 scored, 2 closed without an outcome
  PRIMARY KEY (project_id, suggestion_id)
) STRICT;

CREATE INDEX graph_suggestions_by_question ON graph_suggestions (project_id, question, at_ns);
CREATE INDEX graph_suggestions_open ON graph_suggestions (project_id, trace_id) WHERE state = 0;
CREATE INDEX graph_suggestions_open_by_time ON graph_suggestions (at_ns) WHERE state = 0;
CREATE INDEX graph_suggestions_closed_by_time ON graph_suggestions (at_ns) WHERE state > 0;

-- Deltas of SDKs that were applied, for some days.
CREATE TABLE graph_deltas (
  project_id INTEGER NOT NULL,
  delta_id   TEXT    NOT NULL,
  at_ns      INTEGER NOT NULL,
  PRIMARY KEY (project_id, delta_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX graph_deltas_by_time ON graph_deltas (at_ns);

-- Traces that are due to be learned. A trace without a row is learned, with all of its finished spans.
-- Whoever deletes a trace deletes its row here too.
CREATE TABLE graph_due (
  trace_seq    INTEGER PRIMARY KEY,
  committed_ns INTEGER,           -- when something of it was last written; NULL: set aside until more comes
  rootless     INTEGER NOT NULL,
  late         BLOB,              -- ids of the finished spans that are not learned; NULL: none is learned
  changed      BLOB               -- the learned spans that have changed since, as they were then: a chunk
) STRICT;

CREATE INDEX graph_due_by_quiet ON graph_due (rootless, committed_ns) WHERE committed_ns IS NOT NULL;

-- Off the narrowest index and sorted, so that neither wide rows are read nor pages filled at random.
INSERT INTO graph_due (trace_seq, committed_ns, rootless) SELECT seq, 0, 0 FROM traces INDEXED BY traces_by_id ORDER BY seq;

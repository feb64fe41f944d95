-- The tables of a Clew store, schema 3. This file is the truth: a test proves that the numbered
-- migrations make exactly this. Times are Unix nanoseconds, ids are bytes.

-- A project is what a key writes to. Its totals are counted in the commit that changes them.
CREATE TABLE projects (
  id          INTEGER PRIMARY KEY,
  name        TEXT    NOT NULL UNIQUE,
  trace_count INTEGER NOT NULL DEFAULT 0,
  span_count  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What is listed, filtered and sorted: one row a trace, computed from its spans and scores.
-- seq follows the order of arrival, so rows and everything keyed by seq are appended.
CREATE TABLE traces (
  seq            INTEGER PRIMARY KEY,
  project_id     INTEGER NOT NULL,
  trace_id       BLOB    NOT NULL,
  name           TEXT    NOT NULL,
  start_ns       INTEGER NOT NULL,
  end_ns         INTEGER,
  duration_ns    INTEGER,
  status         TEXT    NOT NULL,
  has_root       INTEGER NOT NULL,
  span_count     INTEGER NOT NULL,
  error_count    INTEGER NOT NULL,
  orphan_count   INTEGER NOT NULL,
  kinds          INTEGER NOT NULL,  -- a bit for each kind: rows.KIND_BITS
  models         TEXT    NOT NULL,  -- a JSON array, each string after a line break: rows.models_text
  user_id        TEXT,
  session_id     TEXT,
  strategy       TEXT,
  input_tokens   INTEGER NOT NULL,
  output_tokens  INTEGER NOT NULL,
  cost_usd       REAL,
  confidence     REAL,
  response_chars INTEGER,
  input_preview  TEXT,
  output_preview TEXT,
  score_value    REAL,
  score_best     REAL,
  flag           TEXT    NOT NULL,
  flag_reason    TEXT    NOT NULL   -- empty: what is said of nearly all, rows.USUAL_REASON
) STRICT;

CREATE UNIQUE INDEX traces_by_id ON traces (project_id, trace_id);

-- The newest with a filter: what is short of what is filtered on lies in the index.
CREATE INDEX traces_by_start
    ON traces (project_id, start_ns, trace_id, duration_ns, status, flag, kinds);

-- By user and by session in blocks of 1,024 traces, in the order of arrival: an insert touches the few pages of the
-- newest block, however many traces there are. Who asks goes through trace_blocks.
CREATE INDEX traces_by_user
    ON traces (project_id, seq >> 10, user_id, start_ns) WHERE user_id IS NOT NULL;

CREATE INDEX traces_by_session
    ON traces (project_id, seq >> 10, session_id, start_ns) WHERE session_id IS NOT NULL;

-- The few that went wrong are found among millions that did not.
CREATE INDEX traces_by_flag
    ON traces (project_id, flag, start_ns, trace_id) WHERE flag <> 'NORMAL';

CREATE INDEX traces_by_error
    ON traces (project_id, start_ns, trace_id) WHERE status = 'error';

-- What the traces of a project in a block (seq >> 10) have at most: a filter that none can meet leaves the block
-- out. Bounds may be wider than what is left once traces have gone.
CREATE TABLE trace_blocks (
  project_id      INTEGER NOT NULL,
  block           INTEGER NOT NULL,
  min_start_ns    INTEGER NOT NULL,
  max_start_ns    INTEGER NOT NULL,
  min_duration_ns INTEGER NOT NULL,  -- where none has a duration or a cost, a minimum over any maximum
  max_duration_ns INTEGER NOT NULL,
  min_tokens      INTEGER NOT NULL,
  max_tokens      INTEGER NOT NULL,
  min_cost_usd    REAL    NOT NULL,
  max_cost_usd    REAL    NOT NULL,
  kinds           INTEGER NOT NULL,  -- as in traces
  classes         INTEGER NOT NULL,  -- a bit for each pair of flag and status: blocks.class_bit
  PRIMARY KEY (project_id, block)
) STRICT, WITHOUT ROWID;

-- In which blocks a model was called.
CREATE TABLE trace_block_models (
  project_id INTEGER NOT NULL,
  model      TEXT    NOT NULL,
  block      INTEGER NOT NULL,
  PRIMARY KEY (project_id, model, block)
) STRICT, WITHOUT ROWID;

-- What questions in SQL ask of the spans, those of a chunk in one row: eight rows of twenty columns would be the
-- dearest part of a commit. A JSON array of arrays (clew.store.sqlite.narrow); ask the view trace_spans.
CREATE TABLE span_rows (
  chunk_id INTEGER PRIMARY KEY,  -- as in trace_payloads
  start_ns INTEGER NOT NULL,     -- of the earliest
  finished INTEGER NOT NULL,     -- how many have ended
  spans    TEXT    NOT NULL
) STRICT;

-- One row a span. Of one trace: chunk_id BETWEEN seq * 256 AND seq * 256 + 255.
CREATE VIEW trace_spans AS
SELECT r.chunk_id / 256 AS trace_seq,
       r.chunk_id,
       unhex(s.value ->> 0) AS span_id,
       unhex(iif(typeof(s.value ->> 1) = 'integer', r.spans ->> ('$[' || (s.value ->> 1) || '][0]'), s.value ->> 1))
         AS parent_id,
       s.value ->> 2 AS name,
       '["root","classification","embedding","retrieval","rerank","generation","tool","capability","agent",
         "guardrail","evaluation","chain","other"]' ->> (s.value ->> 3) AS kind,
       r.start_ns + (s.value ->> 4) AS start_ns,
       r.start_ns + (s.value ->> 4) + (s.value ->> 5) AS end_ns,
       '["unset","ok","error"]' ->> (s.value ->> 6) AS status,
       s.value ->> 7 AS model,
       s.value ->> 8 AS input_tokens,
       s.value ->> 9 AS output_tokens,
       s.value ->> 10 AS response_chars,
       s.value ->> 11 AS cost_usd,
       s.value ->> 12 AS first_token_ms,
       s.value ->> 13 AS confidence,
       s.value ->> 14 AS strategy,
       s.value ->> 15 AS user_id,
       s.value ->> 16 AS session_id,
       s.value ->> 17 AS status_message
  FROM span_rows AS r
  CROSS JOIN json_each(r.spans) AS s;

-- The spans whole, as zstd-compressed msgpack: one chunk for each commit that brought spans of a
-- trace. chunk_id = seq * 256 + n, so one trace's chunks lie side by side; n stays small, since a
-- trace of many chunks is rewritten as one.
CREATE TABLE trace_payloads (
  chunk_id INTEGER PRIMARY KEY,
  spans    BLOB NOT NULL
) STRICT;

-- The words of a chunk (clew.store.text), under its chunk_id. No text is kept, only where words are.
CREATE VIRTUAL TABLE trace_text USING fts5 (
  words,
  content = '',
  contentless_delete = 1,
  detail = none,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);

-- Its pieces, one for each commit at first, are merged sixteen at a time, in pages of 16 KB.
INSERT INTO trace_text (trace_text, rank) VALUES ('automerge', 16);
INSERT INTO trace_text (trace_text, rank) VALUES ('pgsz', 16000);

-- Rows that were dropped lie in it until retention merges it, a little at a time; by itself it would at the next
-- commit, for a second or more.
INSERT INTO trace_text (trace_text, rank) VALUES ('deletemerge', 0);

-- Latencies that outlive the spans: finished spans by minute (60), hour (3600) and day (86400).
CREATE TABLE trace_metrics (
  project_id    INTEGER NOT NULL,
  resolution_s  INTEGER NOT NULL,
  bucket_s      INTEGER NOT NULL,  -- Unix seconds
  kind          TEXT    NOT NULL,
  name          TEXT    NOT NULL,
  model         TEXT    NOT NULL,  -- empty if there is none
  count         INTEGER NOT NULL,
  errors        INTEGER NOT NULL,
  input_tokens  INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_usd      REAL    NOT NULL,
  duration_ns   INTEGER NOT NULL,
  histogram     BLOB    NOT NULL,  -- clew.model.histogram
  PRIMARY KEY (project_id, resolution_s, bucket_s, kind, name, model)
) STRICT, WITHOUT ROWID;

-- Scores are keyed by trace id and not by seq, since a score may come before its trace.
CREATE TABLE scores (
  project_id INTEGER NOT NULL,
  trace_id   BLOB    NOT NULL,
  span_id    BLOB    NOT NULL,  -- empty: the whole trace
  name       TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  value      REAL    NOT NULL,
  best       REAL    NOT NULL,
  label      TEXT    NOT NULL,
  comment    TEXT    NOT NULL,
  at_ns      INTEGER NOT NULL,
  PRIMARY KEY (project_id, trace_id, span_id, name, source)
) STRICT, WITHOUT ROWID;

-- API keys, by their hash.
CREATE TABLE keys (
  key_hash   TEXT    PRIMARY KEY,
  scope      TEXT    NOT NULL,
  project    TEXT    NOT NULL,
  label      TEXT    NOT NULL,
  created_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Facts about the store itself. 'text_gap': traces were stored while text search was off.
CREATE TABLE facts (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

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

-- 0001: the first tables (see schema.sql for what each is for). On an empty file; locks nothing else.

PRAGMA application_id = 0x436C6577;  -- "Clew"

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
  flag_reason    TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX traces_by_id ON traces (project_id, trace_id);

-- The newest with a filter: what is filtered on lies in the index, so a rare match costs a scan of
-- the index and not of the table.
CREATE INDEX traces_by_start
    ON traces (project_id, start_ns, trace_id, duration_ns, status, flag, kinds, models);

CREATE INDEX traces_by_user
    ON traces (project_id, user_id, start_ns, trace_id) WHERE user_id IS NOT NULL;

CREATE INDEX traces_by_session
    ON traces (project_id, session_id, start_ns, trace_id) WHERE session_id IS NOT NULL;

-- The few that went wrong are found among millions that did not.
CREATE INDEX traces_by_flag
    ON traces (project_id, flag, start_ns, trace_id) WHERE flag <> 'NORMAL';

CREATE INDEX traces_by_error
    ON traces (project_id, start_ns, trace_id) WHERE status = 'error';

-- One narrow row a span, for questions in SQL. No foreign key to the parent: children come first.
CREATE TABLE trace_spans (
  trace_seq      INTEGER NOT NULL,
  span_id        BLOB    NOT NULL,
  parent_id      BLOB,
  name           TEXT    NOT NULL,
  kind           TEXT    NOT NULL,
  start_ns       INTEGER NOT NULL,
  end_ns         INTEGER,
  status         TEXT    NOT NULL,
  status_message TEXT,
  model          TEXT,
  strategy       TEXT,
  input_tokens   INTEGER,
  output_tokens  INTEGER,
  cost_usd       REAL,
  confidence     REAL,
  first_token_ms REAL,
  user_id        TEXT,
  session_id     TEXT,
  response_chars INTEGER,
  PRIMARY KEY (trace_seq, span_id)
) STRICT, WITHOUT ROWID;

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
  histogram     BLOB    NOT NULL,  -- clew.store.histogram
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

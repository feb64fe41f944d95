-- The tables of a ClickHouse store. Each statement makes one table; `clew.store.clickhouse.schema` turns them
-- into `..._local` tables and Distributed ones over them where a cluster is named, and into Replicated
-- engines where those are asked for. After `shard by` stands what rows are spread over the shards by.

-- name: clew_pieces
-- What commits brought of traces, each piece once and never changed. Two writers of one trace add a piece
-- each, and whoever comes second sees both: so none is ever lost. `day` is that of the trace's first piece.
-- shard by: cityHash64(trace_id)
CREATE TABLE IF NOT EXISTS clew_pieces (
    project String CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(NONE),
    piece UInt64 CODEC(NONE),
    place UInt32,
    day Date,
    committed_ns Int64 CODEC(Delta, ZSTD(1)),
    span_count UInt32,
    score_count UInt32,
    spans String CODEC(ZSTD(3)),
    scores String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree()
PARTITION BY toYYYYMMDD(day)
ORDER BY (project, trace_id, piece);

-- name: clew_traces
-- One row for each trace, made of all of its pieces and written after them; one of more pieces replaces one
-- of fewer. A trace without it is not there, nor is one whose `base` the log says is gone. Latencies are summed from
-- its tally. Words come as one text, since hundreds of texts for each trace took a third of the writer's time; they
-- have no index: a
-- bloom filter of them took a third of the server's time, and made searches slower.
-- shard by: cityHash64(trace_id)
CREATE TABLE IF NOT EXISTS clew_traces (
    project String CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(NONE),
    version UInt32,
    mark UInt32,
    base UInt32,
    pieces Array(UInt64) CODEC(NONE),
    day Date,
    came_ns Int64 CODEC(Delta, ZSTD(1)),
    name String CODEC(ZSTD(1)),
    start_ns Int64 CODEC(Delta, ZSTD(1)),
    duration_ns Nullable(Int64) CODEC(ZSTD(1)),
    status LowCardinality(String),
    flag LowCardinality(String),
    kinds UInt32,
    models Array(String) CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    span_count UInt32,
    error_count UInt32,
    input_tokens Int64 CODEC(ZSTD(1)),
    output_tokens Int64 CODEC(ZSTD(1)),
    cost_usd Nullable(Float64) CODEC(ZSTD(1)),
    summary String CODEC(ZSTD(1)),
    names Array(String) CODEC(ZSTD(1)),
    users Array(String) CODEC(ZSTD(1)),
    sessions Array(String) CODEC(ZSTD(1)),
    searchable UInt8,
    words_text String EPHEMERAL '',
    words Array(String) DEFAULT if(empty(words_text), [], splitByChar(' ', words_text)) CODEC(ZSTD(1)),
    tally_from Int64 CODEC(Delta, ZSTD(1)),
    tally_to Int64 CODEC(Delta, ZSTD(1)),
    tally_minute Array(Int64) CODEC(ZSTD(1)),
    tally_kind Array(String) CODEC(ZSTD(1)),
    tally_name Array(String) CODEC(ZSTD(1)),
    tally_model Array(String) CODEC(ZSTD(1)),
    tally_count Array(Int64) CODEC(ZSTD(1)),
    tally_errors Array(Int64) CODEC(ZSTD(1)),
    tally_input_tokens Array(Int64) CODEC(ZSTD(1)),
    tally_output_tokens Array(Int64) CODEC(ZSTD(1)),
    tally_cost_usd Array(Float64) CODEC(ZSTD(1)),
    tally_duration_ns Array(Int64) CODEC(ZSTD(1)),
    tally_buckets Array(Array(Int32)) CODEC(ZSTD(1)),
    tally_counts Array(Array(Int64)) CODEC(ZSTD(1)),
    INDEX by_start start_ns TYPE minmax GRANULARITY 1,
    INDEX by_first_minute tally_from TYPE minmax GRANULARITY 1,
    INDEX by_last_minute tally_to TYPE minmax GRANULARITY 1,
    INDEX by_name names TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_user user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(day)
ORDER BY (project, trace_id);

-- name: clew_due
-- Traces that may be to be learned: a row for each commit that brought spans, and one when they were learned.
-- The truth stands in `clew_log`; this says where to look.
-- shard by: cityHash64(trace_id)
CREATE TABLE IF NOT EXISTS clew_due (
    project String CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(NONE),
    rank UInt64,
    done UInt8,
    committed_ns Int64 CODEC(Delta, ZSTD(1)),
    rootless UInt8,
    span_count UInt32,
    at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (project, trace_id)
TTL at + INTERVAL 2 DAY DELETE WHERE done = 1;

-- name: clew_log
-- What changed a project's graph, or its arms, in order. An insert with the token of a position that is taken
-- is dropped by the server, so that of several writers one gets it; all rows of a change are one insert.
-- Rows: `change` (what changed), `trace` (one that was learned, and of which pieces), `delta` (the id of one
-- that was applied), `minute` (what it counted), `snapshot` (all that the changes so far make); in the stream of
-- what went, `gone` (a trace: which pieces, and at which `base`, here `mark`; `skipped` if it was erased) and
-- `cleaned` (up to which position the rows of such traces were deleted) and `summed` (a day whose `minute` rows
-- before it, and up to position `count` of the graph's stream, are in those beside it, by steps of `mark` seconds).
-- shard by: cityHash64(project)
CREATE TABLE IF NOT EXISTS clew_log (
    project String CODEC(ZSTD(1)),
    stream LowCardinality(String),
    sort LowCardinality(String),
    key String CODEC(ZSTD(1)),
    position UInt64,
    id UInt64,
    at_ns Int64,
    body String CODEC(ZSTD(3)),
    mark UInt32,
    skipped UInt8,
    pieces Array(UInt64),
    minute Int64,
    kind LowCardinality(String),
    name String CODEC(ZSTD(1)),
    model String CODEC(ZSTD(1)),
    count Int64,
    errors Int64,
    input_tokens Int64,
    output_tokens Int64,
    cost_usd Float64,
    duration_ns Int64,
    buckets Array(Int32),
    counts Array(Int64)
)
ENGINE = MergeTree()
ORDER BY (project, stream, sort, key, position);

-- name: clew_suggestions
-- Suggestions; one whose outcome is known (or no longer waited for) replaces the open one.
-- shard by: cityHash64(project)
CREATE TABLE IF NOT EXISTS clew_suggestions (
    project String CODEC(ZSTD(1)),
    suggestion_id String CODEC(ZSTD(1)),
    question String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    at_ns Int64,
    state UInt8,
    body String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(state)
ORDER BY (project, suggestion_id);

-- name: clew_leads
-- Which of several processes learns: a row for each term, under a token, so that one gets it. The last one counts.
-- shard by: 0
CREATE TABLE IF NOT EXISTS clew_leads (
    name String,
    term UInt64,
    holder UInt64
)
ENGINE = ReplacingMergeTree(term)
ORDER BY name;

-- name: clew_keys
-- API keys by their hash; a later version replaces, and may say that the key is gone.
-- shard by: 0
CREATE TABLE IF NOT EXISTS clew_keys (
    key_hash String,
    version UInt64,
    gone UInt8,
    scope String,
    project String,
    label String,
    created_ns Int64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY key_hash;

-- name: clew_facts
-- What a store says of itself: the number of its schema.
-- shard by: 0
CREATE TABLE IF NOT EXISTS clew_facts (
    name String,
    value String
)
ENGINE = ReplacingMergeTree()
ORDER BY name;

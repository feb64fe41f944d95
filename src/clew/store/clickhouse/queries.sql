-- Every question to a ClickHouse store. Values are only ever bound; texts come as hex, which needs no
-- quoting in any of the forms in which a value can travel. `wanted` is a table sent along: project and trace.

-- name: rows_of_traces
-- The row of each of some traces, but for what is filtered by.
SELECT project, trace_id, mark, base, pieces
  FROM clew_traces FINAL
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted) AND {shown_wanted};

-- name: pieces_of_traces
-- All pieces of some traces, in the order in which they are folded.
SELECT project, trace_id, piece, place, day, committed_ns, span_count, score_count, spans, scores
  FROM clew_pieces FINAL
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted) AND {kept_wanted}
 ORDER BY project, trace_id, place, piece;

-- name: piece_counts
-- How many pieces there are of some traces: more than a writer knows of if another one wrote meanwhile. And from
-- which base its row is numbered, if something of it went.
SELECT project, trace_id, sum(there), max(base)
  FROM (
    SELECT project, trace_id, uniqExact(piece) AS there, 0 AS base
      FROM clew_pieces
     WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted) AND {kept_wanted}
     GROUP BY project, trace_id
     UNION ALL
    SELECT project, toFixedString(unhex(key), 16) AS trace_id, 0 AS there, max(mark + 2 * length(pieces)) AS base
      FROM clew_log
     WHERE (project, key) IN (SELECT project, lower(hex(trace_id)) FROM wanted)
       AND stream = 'gone' AND sort = 'gone'
     GROUP BY project, key
  )
 GROUP BY project, trace_id;

-- name: list_traces
-- A page of traces, newest first. The terms are put in by `listing`.
SELECT summary
  FROM clew_traces FINAL
 WHERE {terms}
   AND {shown_here}
 ORDER BY start_ns DESC, trace_id DESC
 LIMIT {limit:UInt64};

-- name: list_candidates
-- The same, only where each trace stands.
SELECT start_ns, lower(hex(trace_id))
  FROM clew_traces FINAL
 WHERE {terms}
   AND {shown_here}
 ORDER BY start_ns DESC, trace_id DESC
 LIMIT {limit:UInt64};

-- name: summaries
-- Some traces of a page, newest first.
SELECT summary
  FROM clew_traces FINAL
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted) AND {shown_wanted}
 ORDER BY start_ns DESC, trace_id DESC;

-- name: unsearchable
-- Whether a trace was stored while text search was off.
SELECT 1 FROM clew_traces WHERE searchable = 0 AND {shown} LIMIT 1;

-- name: tallies
-- What was counted of traces, also of those that went, and what SDKs told of, in a window of minutes.
SELECT step, shown_kind, shown_name, shown_model, sum(count), sum(errors), sum(input_tokens), sum(output_tokens), sum(cost_usd),
       sum(duration_ns), sumMap(buckets, counts)
  FROM (
    SELECT minute, of_kind AS kind, of_name AS name, of_model AS model, count, errors, input_tokens, output_tokens,
           cost_usd, duration_ns, buckets, counts
      FROM clew_traces FINAL
     ARRAY JOIN tally_minute AS minute, tally_kind AS of_kind, tally_name AS of_name, tally_model AS of_model,
           tally_count AS count, tally_errors AS errors, tally_input_tokens AS input_tokens,
           tally_output_tokens AS output_tokens, tally_cost_usd AS cost_usd, tally_duration_ns AS duration_ns,
           tally_buckets AS buckets, tally_counts AS counts
     WHERE project = unhex({project:String})
       AND tally_from < {to_minute:Int64} AND tally_to >= {from_minute:Int64}
       AND {shown_until}
     UNION ALL
    SELECT minute, kind, name, model, count, errors, input_tokens, output_tokens, cost_usd, duration_ns, buckets, counts
      FROM {told_here} AS beside
  )
 WHERE minute >= {from_minute:Int64} AND minute < {to_minute:Int64}
   AND ({kind:String} = '' OR kind = {kind:String})
   AND ({name:String} = '' OR name = unhex({name:String}))
   AND ({model:String} = '' OR model = unhex({model:String}))
 GROUP BY if({step_s:Int64} = 0, 0, intDiv(minute * 60, greatest({step_s:Int64}, 1)) * {step_s:Int64}) AS step,
          if({by_kind:UInt8}, kind, '') AS shown_kind, if({by_name:UInt8}, name, '') AS shown_name,
          if({by_model:UInt8}, model, '') AS shown_model;

-- name: totals
-- Of all projects: traces, spans, projects.
SELECT count(), sum(span_count), uniqExact(project) FROM clew_traces FINAL WHERE {shown};

-- name: score_total
-- Scores that came, also those that were replaced by later ones.
SELECT sum(score_count) FROM clew_pieces FINAL WHERE {kept};

-- name: bytes
-- What the tables take on the disk of one server.
SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table LIKE 'clew\_%';

-- name: bytes_of_cluster
-- The same of every shard.
SELECT sum(bytes_on_disk) FROM cluster({cluster:String}, system.parts)
 WHERE active AND database = {database:String} AND table LIKE 'clew\_%';

-- name: projects
-- Every project that has traces.
SELECT DISTINCT project FROM clew_traces WHERE {shown};

-- name: server
-- Which ClickHouse this is.
SELECT version();

-- name: schema
-- Which tables these are.
SELECT value FROM clew_facts FINAL WHERE name = 'schema';

-- name: tables
-- Whether the tables are there.
SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'clew_facts';

-- Keys.

-- name: keys
-- All API keys.
SELECT key_hash, scope, project, label, created_ns, version FROM clew_keys FINAL WHERE gone = 0;

-- name: find_key
-- The key of one hash.
SELECT key_hash, scope, project, label, created_ns, version FROM clew_keys FINAL
 WHERE key_hash = unhex({key_hash:String}) AND gone = 0;

-- name: last_key
-- The last version of any key.
SELECT max(version) FROM clew_keys;

-- What is due.

-- name: due
-- Traces that may be due, those of the oldest commit first.
SELECT project, trace_id, rank, committed_ns, rootless, span_count
  FROM clew_due FINAL
 WHERE done = 0 AND committed_ns <= if(rootless, {rootless_quiet_since_ns:Int64}, {quiet_since_ns:Int64})
 ORDER BY committed_ns, project, trace_id
 LIMIT {limit:UInt64};

-- name: learned
-- When some traces were learned, or set aside, and of which pieces.
SELECT project, key, mark, skipped, pieces, position
  FROM clew_log
 WHERE (project, key) IN (SELECT project, lower(hex(trace_id)) FROM wanted) AND stream = 'graph' AND sort = 'trace'
   AND position <= {until:UInt64}
 ORDER BY position;

-- name: lead
-- Who learns.
SELECT term, holder FROM clew_leads WHERE name = 'learn' ORDER BY term DESC LIMIT 1;

-- The log.

-- name: changes
-- What changed after a position.
SELECT position, id, body
  FROM clew_log
 WHERE project = unhex({project:String}) AND stream = {stream:String} AND sort = 'change' AND key = ''
   AND position > {after:UInt64}
 ORDER BY position, at_ns, id;

-- name: snapshot
-- The newest sum of all changes up to a position.
SELECT position, body
  FROM clew_log
 WHERE project = unhex({project:String}) AND stream = {stream:String} AND sort = 'snapshot' AND key = ''
 ORDER BY position DESC
 LIMIT 1;

-- name: written_down
-- Up to which position all is summed up.
SELECT max(position) FROM clew_log
 WHERE project = unhex({project:String}) AND stream = {stream:String} AND sort = 'snapshot' AND key = '';

-- name: head
-- The position of the last change.
SELECT max(position) FROM clew_log
 WHERE project = unhex({project:String}) AND stream = {stream:String} AND sort = 'change' AND key = '';

-- name: taken_by
-- Who has a position.
SELECT id FROM clew_log
 WHERE project = unhex({project:String}) AND stream = {stream:String} AND sort = 'change' AND key = ''
   AND position = {position:UInt64}
 ORDER BY at_ns, id
 LIMIT 1;

-- name: delta
-- Whether a delta was applied since then.
SELECT count() FROM clew_log
 WHERE project = unhex({project:String}) AND stream = 'graph' AND sort = 'delta' AND key = unhex({key:String})
   AND at_ns >= {since_ns:Int64};

-- Suggestions.

-- name: suggestions
-- Suggestions that hold some terms, which `graph_store` puts in.
SELECT suggestion_id, state, body FROM clew_suggestions FINAL WHERE {terms};

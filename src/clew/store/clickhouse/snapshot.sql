-- What only moving a store asks. `until` is the position of a project's log that is the moment.

-- name: held_projects
-- Every project of which there is anything.
SELECT DISTINCT project FROM clew_traces WHERE {shown}
 UNION DISTINCT
SELECT DISTINCT project FROM clew_pieces WHERE score_count > 0 AND {kept}
 UNION DISTINCT
SELECT DISTINCT project FROM clew_log;

-- name: held_totals
-- Traces, spans and finished spans.
SELECT count(), sum(span_count), sum(arraySum(tally_count))
  FROM clew_traces FINAL
 WHERE project = unhex({project:String}) AND {shown_here};

-- name: held_learned
-- How many of the stored traces were learned, since what went of them went. The log lies by project and traces by
-- their ids, so it is sent to all.
SELECT count()
  FROM (SELECT trace_id, base
          FROM clew_traces FINAL
         WHERE project = unhex({project:String}) AND {shown_here}) AS stored
GLOBAL INNER JOIN
       (SELECT toFixedString(unhex(key), 16) AS trace_id, max(mark) AS learned
          FROM clew_log
         WHERE project = unhex({project:String}) AND stream = 'graph' AND sort = 'trace' AND skipped = 0
           AND position <= {until:UInt64}
         GROUP BY key) AS log
 USING (trace_id)
 WHERE learned > base;

-- name: held_told
-- What was counted beside the traces: told by SDKs, and left of what went.
SELECT minute, kind, name, model, sum(count), sum(errors), sum(input_tokens), sum(output_tokens), sum(cost_usd),
       sum(duration_ns), sumMap(buckets, counts)
  FROM {told_here} AS beside
 GROUP BY minute, kind, name, model;

-- name: held_ids
-- Traces in the order of their ids, which is that of the table, with how many spans each has.
SELECT trace_id, span_count
  FROM clew_traces FINAL
 WHERE project = unhex({project:String}) AND trace_id > toFixedString(unhex({after:String}), 16)
   AND {shown_here}
 ORDER BY trace_id
 LIMIT {limit:UInt64};

-- name: held_lone_scores
-- Traces that have scores, but are not there.
SELECT DISTINCT trace_id
  FROM clew_pieces
 WHERE project = unhex({project:String}) AND score_count > 0 AND {kept}
   AND trace_id GLOBAL NOT IN (
       SELECT trace_id FROM clew_traces WHERE project = unhex({project:String}) AND {shown_here});

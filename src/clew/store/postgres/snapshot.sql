-- What only moving a store asks.

-- name: projects
SELECT name
  FROM projects AS p
 WHERE EXISTS (SELECT 1 FROM traces WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM scores WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM trace_metrics WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM graph_versions WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM graph_arms WHERE project_id = p.id);

-- name: totals
-- Traces, spans, finished spans, and traces of which a finished span is learned.
SELECT (SELECT count(*) FROM traces WHERE project_id = %(project_id)s),
       (SELECT coalesce(sum(span_count), 0)::bigint FROM traces WHERE project_id = %(project_id)s),
       (SELECT count(*)
          FROM traces JOIN trace_spans ON trace_seq = seq
         WHERE project_id = %(project_id)s AND trace_spans.end_ns IS NOT NULL),
       (SELECT count(*)
          FROM traces LEFT JOIN graph_due AS due ON due.trace_seq = seq
         WHERE project_id = %(project_id)s AND (due.trace_seq IS NULL OR due.late IS NOT NULL)
           AND coalesce(length(due.late) / 8, 0) < (SELECT count(*)
                                                      FROM trace_spans AS s
                                                     WHERE s.trace_seq = seq AND s.end_ns IS NOT NULL));

-- name: counted
SELECT resolution_s, bucket_s, kind, name, model,
       count, errors, input_tokens, output_tokens, cost_usd, duration_ns, histogram
  FROM trace_metrics
 WHERE project_id = %(project_id)s;

-- name: late
-- What of some traces is not learned.
SELECT seq, due.trace_seq IS NOT NULL, due.late, due.changed
  FROM traces LEFT JOIN graph_due AS due ON due.trace_seq = traces.seq
 WHERE project_id = %(project_id)s AND trace_id = ANY(%(trace_ids)s::bytea[]);

-- name: lone_score_traces
SELECT DISTINCT trace_id
  FROM scores
 WHERE project_id = %(project_id)s
   AND NOT EXISTS (SELECT 1 FROM traces AS t WHERE t.project_id = %(project_id)s AND t.trace_id = scores.trace_id);

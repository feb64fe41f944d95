-- What only moving a store asks.

-- name: projects
SELECT json_group_array(name)
  FROM projects AS p
 WHERE EXISTS (SELECT 1 FROM traces WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM scores WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM trace_metrics WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM graph_versions WHERE project_id = p.id)
    OR EXISTS (SELECT 1 FROM graph_arms WHERE project_id = p.id);

-- name: totals
-- Traces, spans, finished spans, and traces of which a finished span is learned.
SELECT (SELECT count(*) FROM traces WHERE project_id = :project_id),
       (SELECT coalesce(sum(span_count), 0) FROM traces WHERE project_id = :project_id),
       (SELECT coalesce(sum(finished), 0)
          FROM traces CROSS JOIN span_rows ON chunk_id BETWEEN seq * 256 AND seq * 256 + 255
         WHERE project_id = :project_id),
       (SELECT count(*)
          FROM traces LEFT JOIN graph_due AS due ON due.trace_seq = seq
         WHERE project_id = :project_id AND (due.trace_seq IS NULL OR due.late IS NOT NULL)
           AND coalesce(length(due.late) / 8, 0) < (SELECT coalesce(sum(finished), 0)
                                                      FROM span_rows
                                                     WHERE chunk_id BETWEEN seq * 256 AND seq * 256 + 255));

-- name: counted
SELECT resolution_s, bucket_s, kind, name, model,
       count, errors, input_tokens, output_tokens, cost_usd, duration_ns, histogram
  FROM trace_metrics
 WHERE project_id = :project_id;

-- name: late
-- What of some traces (a JSON array of hex) is not learned.
SELECT json_group_array(json_array(seq, due.trace_seq IS NOT NULL,
                                   CASE WHEN due.late IS NOT NULL THEN lower(hex(due.late)) END, hex(due.changed)))
  FROM json_each(:trace_ids) AS wanted
  CROSS JOIN traces ON traces.project_id = :project_id AND traces.trace_id = unhex(wanted.value)
  LEFT JOIN graph_due AS due ON due.trace_seq = traces.seq;

-- name: lone_scores
SELECT json_group_array(json_object(
         'trace_id', lower(hex(trace_id)), 'span_id', iif(span_id = x'', NULL, lower(hex(span_id))),
         'name', name, 'source', source, 'value', value, 'best', best, 'label', label,
         'comment', comment, 'at_ns', at_ns))
  FROM scores
 WHERE project_id = :project_id
   AND NOT EXISTS (SELECT 1 FROM traces AS t WHERE t.project_id = :project_id AND t.trace_id = scores.trace_id);

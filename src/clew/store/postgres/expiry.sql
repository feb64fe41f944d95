-- The statements of retention and erasure. Ranges of seq beside the lists of it let the planner look only
-- into the partitions of some days.

-- name: all_projects
SELECT id, name FROM projects;

-- name: expired
-- Traces of a project that began before what their flag and status allow, behind a place.
SELECT t.seq, t.trace_id, t.start_ns, t.flag, t.status, t.span_count, due.committed_ns IS NOT NULL
  FROM (SELECT seq, trace_id, start_ns, flag, status, span_count FROM traces
         WHERE project_id = %(project_id)s AND start_ns < %(latest_ns)s::bigint
           AND (start_ns, trace_id) > (%(after_ns)s::bigint, %(after_id)s)
           AND start_ns < (%(cutoffs)s::jsonb ->> (flag || '_' || status))::bigint
         ORDER BY start_ns, trace_id LIMIT %(limit)s) AS t
  LEFT JOIN LATERAL (SELECT committed_ns FROM graph_due WHERE trace_seq = t.seq OFFSET 0) AS due ON true
 ORDER BY t.start_ns, t.trace_id;

-- name: earliest
-- Traces in the order in which they came, before a day, without those of some flags and status.
SELECT t.seq, t.trace_id, t.start_ns, t.flag, t.status, t.span_count, due.committed_ns IS NOT NULL, p.name
  FROM (SELECT seq, project_id, trace_id, start_ns, flag, status, span_count FROM traces
         WHERE seq > %(after_seq)s::bigint AND seq < %(before_seq)s::bigint
           AND flag || '_' || status <> ALL(%(spared)s::text[])
         ORDER BY seq LIMIT %(limit)s) AS t
  CROSS JOIN LATERAL (SELECT name FROM projects WHERE id = t.project_id OFFSET 0) AS p
  LEFT JOIN LATERAL (SELECT committed_ns FROM graph_due WHERE trace_seq = t.seq OFFSET 0) AS due ON true
 ORDER BY t.seq;

-- name: lock_idle
-- Have those of these traces to ourselves that nobody is at.
SELECT seq FROM trace_ids
 WHERE project_id = %(project_id)s AND trace_id = ANY(%(trace_ids)s::bytea[])
 ORDER BY trace_id
   FOR UPDATE SKIP LOCKED;

-- name: as_they_are
-- What these traces are now; all null of one that only has scores.
SELECT i.seq, i.trace_id, t.start_ns, t.flag, t.status, t.span_count, due.committed_ns IS NOT NULL
  FROM trace_ids AS i
  LEFT JOIN LATERAL (SELECT * FROM traces WHERE seq = i.seq OFFSET 0) AS t ON true
  LEFT JOIN LATERAL (SELECT committed_ns FROM graph_due WHERE trace_seq = i.seq OFFSET 0) AS due ON true
 WHERE i.project_id = %(project_id)s AND i.seq = ANY(%(seqs)s::bigint[])
   AND i.trace_id = ANY(%(trace_ids)s::bytea[]);

-- name: drop_words
DELETE FROM trace_text USING unnest(%(seqs)s::bigint[]) AS gone (seq)
 WHERE chunk_id >= gone.seq * 256 AND chunk_id <= gone.seq * 256 + 255
   AND chunk_id >= %(first)s::bigint * 256 AND chunk_id <= %(last)s::bigint * 256 + 255;

-- name: drop_chunks
DELETE FROM trace_payloads USING unnest(%(seqs)s::bigint[]) AS gone (seq)
 WHERE chunk_id >= gone.seq * 256 AND chunk_id <= gone.seq * 256 + 255
   AND chunk_id >= %(first)s::bigint * 256 AND chunk_id <= %(last)s::bigint * 256 + 255;

-- name: drop_spans
DELETE FROM trace_spans
 WHERE trace_seq = ANY(%(seqs)s::bigint[]) AND trace_seq >= %(first)s::bigint AND trace_seq <= %(last)s::bigint;

-- name: drop_traces
DELETE FROM traces
 WHERE seq = ANY(%(seqs)s::bigint[]) AND seq >= %(first)s::bigint AND seq <= %(last)s::bigint;

-- name: drop_due
DELETE FROM graph_due WHERE trace_seq = ANY(%(seqs)s::bigint[]);

-- name: drop_void
DELETE FROM trace_text_void WHERE seq = ANY(%(seqs)s::bigint[]);

-- name: drop_ids
DELETE FROM trace_ids WHERE project_id = %(project_id)s AND trace_id = ANY(%(trace_ids)s::bytea[]);

-- name: drop_scores
DELETE FROM scores WHERE project_id = %(project_id)s AND trace_id = ANY(%(trace_ids)s::bytea[]);

-- name: drop_suggestions
DELETE FROM graph_suggestions WHERE project_id = %(project_id)s AND trace_id = ANY(%(names)s::text[]);

-- name: count_dropped
-- How much of a day has gone.
INSERT INTO facts AS f (name, value) VALUES (%(name)s, %(count)s::text)
    ON CONFLICT (name) DO UPDATE SET value = (f.value::bigint + excluded.value::bigint)::text;

-- Histograms.

-- name: drop_metrics
DELETE FROM trace_metrics
 WHERE (project_id, resolution_s, bucket_s, operation, part) IN (
         SELECT m.project_id, m.resolution_s, m.bucket_s, m.operation, m.part
           FROM projects AS p
           CROSS JOIN LATERAL (SELECT * FROM trace_metrics
                                WHERE project_id = p.id AND resolution_s = %(resolution_s)s
                                  AND bucket_s < %(before_s)s LIMIT %(limit)s) AS m
          LIMIT %(limit)s);

-- name: put_later_fact
-- A number that only grows.
INSERT INTO facts AS f (name, value) VALUES (%(name)s, %(value)s)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value::bigint > f.value::bigint;

-- name: facts_named
SELECT name, value FROM facts WHERE starts_with(name, %(prefix)s);

-- name: put_fact
INSERT INTO facts (name, value) VALUES (%(name)s, %(value)s) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: drop_facts
DELETE FROM facts WHERE name = ANY(%(names)s::text[]);

-- Space.

-- name: forget_ids
-- Of a day that has no traces any more: ids that were only scored.
DELETE FROM trace_ids
 WHERE (project_id, trace_id) IN (SELECT project_id, trace_id FROM trace_ids
                                   WHERE seq >= %(first)s::bigint AND seq < %(end)s::bigint
                                   LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING project_id, trace_id;

-- name: has_ids
SELECT 1 FROM trace_ids WHERE seq >= %(first)s::bigint AND seq < %(end)s::bigint LIMIT 1;

-- name: has_traces
SELECT 1 FROM traces WHERE seq >= %(first)s::bigint AND seq < %(end)s::bigint LIMIT 1;

-- name: count_traces
SELECT count(*) FROM (SELECT 1 FROM traces WHERE seq >= %(first)s::bigint AND seq < %(end)s::bigint
                       LIMIT %(limit)s) AS few;

-- name: ids_of_day
SELECT i.seq
  FROM (SELECT project_id, trace_id, seq FROM traces
         WHERE seq >= %(first)s::bigint AND seq < %(end)s::bigint ORDER BY seq LIMIT %(limit)s) AS t
  JOIN trace_ids AS i ON i.project_id = t.project_id AND i.trace_id = t.trace_id AND i.seq = t.seq
 ORDER BY i.seq
   FOR UPDATE OF i SKIP LOCKED;

-- name: move_ids
UPDATE trace_ids AS i SET seq = m.new
  FROM unnest(%(seqs)s::bigint[], %(new)s::bigint[]) AS m (old, new)
  JOIN traces AS t ON t.seq = m.old
 WHERE t.seq >= %(first)s::bigint AND t.seq <= %(last)s::bigint
   AND i.project_id = t.project_id AND i.trace_id = t.trace_id;

-- name: move_spans
UPDATE trace_spans AS s SET trace_seq = m.new
  FROM unnest(%(seqs)s::bigint[], %(new)s::bigint[]) AS m (old, new)
 WHERE s.trace_seq = m.old AND s.trace_seq >= %(first)s::bigint AND s.trace_seq <= %(last)s::bigint;

-- name: move_chunks
UPDATE trace_payloads AS c SET chunk_id = m.new * 256 + c.chunk_id - m.old * 256
  FROM unnest(%(seqs)s::bigint[], %(new)s::bigint[]) AS m (old, new)
 WHERE c.chunk_id >= m.old * 256 AND c.chunk_id <= m.old * 256 + 255
   AND c.chunk_id >= %(first)s::bigint * 256 AND c.chunk_id <= %(last)s::bigint * 256 + 255;

-- name: move_words
UPDATE trace_text AS c SET chunk_id = m.new * 256 + c.chunk_id - m.old * 256
  FROM unnest(%(seqs)s::bigint[], %(new)s::bigint[]) AS m (old, new)
 WHERE c.chunk_id >= m.old * 256 AND c.chunk_id <= m.old * 256 + 255
   AND c.chunk_id >= %(first)s::bigint * 256 AND c.chunk_id <= %(last)s::bigint * 256 + 255;

-- name: move_due
UPDATE graph_due AS d SET trace_seq = m.new
  FROM unnest(%(seqs)s::bigint[], %(new)s::bigint[]) AS m (old, new)
 WHERE d.trace_seq = m.old;

-- name: move_traces
UPDATE traces AS t SET seq = m.new
  FROM unnest(%(seqs)s::bigint[], %(new)s::bigint[]) AS m (old, new)
 WHERE t.seq = m.old AND t.seq >= %(first)s::bigint AND t.seq <= %(last)s::bigint;

-- name: add_words_of
INSERT INTO trace_text (chunk_id, words) VALUES (%(chunk_id)s, %(words)s);

-- Erasure.

-- name: of_user
SELECT project_id, trace_id FROM traces
 WHERE (%(project_id)s::integer IS NULL OR project_id = %(project_id)s)
   AND (user_id = %(value)s OR seq IN (SELECT trace_seq FROM trace_spans WHERE user_id = %(value)s));

-- name: of_session
SELECT project_id, trace_id FROM traces
 WHERE (%(project_id)s::integer IS NULL OR project_id = %(project_id)s)
   AND (session_id = %(value)s OR seq IN (SELECT trace_seq FROM trace_spans WHERE session_id = %(value)s));

-- name: blocks_with
-- Blocks of words that some traces may be in.
SELECT DISTINCT b.first_seq, b.words, b.places
  FROM unnest(%(seqs)s::bigint[]) AS wanted (seq)
  CROSS JOIN LATERAL (SELECT first_seq, words, places FROM trace_text_blocks
                       WHERE first_seq > wanted.seq - 1000 AND first_seq <= wanted.seq AND last_seq >= wanted.seq
                      OFFSET 0) AS b;

-- name: drop_blocks
DELETE FROM trace_text_blocks WHERE first_seq = ANY(%(first_seqs)s::bigint[]);

-- name: edge_exemplars
SELECT origin_id, target_id, type, encode(exemplars, 'hex') FROM graph_edges
 WHERE project_id = %(project_id)s AND length(exemplars) > 0;

-- name: put_edge_exemplars
UPDATE graph_edges SET exemplars = decode(%(exemplars)s, 'hex')
 WHERE project_id = %(project_id)s AND origin_id = %(origin_id)s AND target_id = %(target_id)s AND type = %(type)s;

-- name: variant_exemplars
SELECT variant_id, encode(exemplars, 'hex') FROM graph_variants
 WHERE project_id = %(project_id)s AND length(exemplars) > 0;

-- name: put_variant_exemplars
UPDATE graph_variants SET exemplars = decode(%(exemplars)s, 'hex') WHERE variant_id = %(variant_id)s;

-- name: void_of
SELECT seq FROM trace_text_void WHERE seq = ANY(%(seqs)s::bigint[]);

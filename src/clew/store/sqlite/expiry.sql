-- The statements of retention and erasure. As in queries.sql, what is read comes in one row of JSON.

-- name: all_projects
SELECT json_group_array(json_array(id, name)) FROM (SELECT id, name FROM projects ORDER BY name);

-- name: expired
-- Traces of a project that began before what their flag and status allow (:cutoffs, JSON), behind a
-- place, found in an index that has all of it.
SELECT json_group_array(json_array(t.seq, :project, lower(hex(t.trace_id)), t.start_ns, t.flag, t.status, t.span_count,
                                   due.committed_ns IS NOT NULL))
  FROM (SELECT seq FROM traces INDEXED BY traces_by_start
         WHERE project_id = :project_id AND start_ns < :latest_ns
           AND (start_ns, trace_id) > (:after_ns, unhex(:after_id))
           AND start_ns < :cutoffs ->> (flag || '_' || status)
         ORDER BY start_ns, trace_id LIMIT :limit) AS old
  CROSS JOIN traces AS t ON t.seq = old.seq
  LEFT JOIN graph_due AS due ON due.trace_seq = t.seq;

-- name: earliest
-- Traces in the order in which they came, without those of some flags and status (:spared, JSON).
SELECT json_group_array(json_array(t.seq, p.name, lower(hex(t.trace_id)), t.start_ns, t.flag, t.status, t.span_count,
                                   due.committed_ns IS NOT NULL))
  FROM (SELECT * FROM traces
         WHERE seq > :after_seq AND flag || '_' || status NOT IN (SELECT value FROM json_each(:spared))
         ORDER BY seq LIMIT :limit) AS t
  CROSS JOIN projects AS p ON p.id = t.project_id
  LEFT JOIN graph_due AS due ON due.trace_seq = t.seq;

-- name: as_they_are
-- What these traces (a JSON array of hex) are now.
SELECT json_group_array(json_array(t.seq, '', lower(hex(t.trace_id)), t.start_ns, t.flag, t.status, t.span_count,
                                   due.committed_ns IS NOT NULL))
  FROM json_each(:trace_ids) AS wanted
  CROSS JOIN traces AS t ON t.project_id = :project_id AND t.trace_id = unhex(wanted.value)
  LEFT JOIN graph_due AS due ON due.trace_seq = t.seq;

-- name: drop_words
DELETE FROM trace_text
 WHERE rowid IN (SELECT chunk_id FROM json_each(:seqs) AS wanted
                  CROSS JOIN trace_payloads ON chunk_id BETWEEN wanted.value * 256 AND wanted.value * 256 + 255);

-- name: drop_chunks
DELETE FROM trace_payloads
 WHERE chunk_id IN (SELECT chunk_id FROM json_each(:seqs) AS wanted
                     CROSS JOIN trace_payloads ON chunk_id BETWEEN wanted.value * 256 AND wanted.value * 256 + 255);

-- name: drop_spans
DELETE FROM span_rows
 WHERE chunk_id IN (SELECT chunk_id FROM json_each(:seqs) AS wanted
                     CROSS JOIN trace_payloads ON chunk_id BETWEEN wanted.value * 256 AND wanted.value * 256 + 255);

-- name: drop_due
DELETE FROM graph_due WHERE trace_seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_traces
DELETE FROM traces WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_blocks
-- Of blocks that have nothing left. :seqs are the traces that went.
DELETE FROM trace_blocks
 WHERE project_id = :project_id AND block IN (SELECT value >> 10 FROM json_each(:seqs))
   AND NOT EXISTS (SELECT 1 FROM traces NOT INDEXED
                    WHERE seq BETWEEN block << 10 AND (block << 10) + 1023 AND project_id = :project_id);

-- name: drop_block_models
DELETE FROM trace_block_models
 WHERE project_id = :project_id AND block IN (SELECT value >> 10 FROM json_each(:seqs))
   AND NOT EXISTS (SELECT 1 FROM traces NOT INDEXED
                    WHERE seq BETWEEN block << 10 AND (block << 10) + 1023 AND project_id = :project_id);

-- name: forget_block_models
DELETE FROM trace_block_models
 WHERE project_id = :project_id AND block IN (SELECT value >> 10 FROM json_each(:seqs));

-- name: put_models_left
-- What models there are in those blocks now: some milliseconds a block.
INSERT INTO trace_block_models (project_id, model, block)
SELECT DISTINCT :project_id, m.value, b.block
  FROM (SELECT DISTINCT value >> 10 AS block FROM json_each(:seqs)) AS b
  CROSS JOIN traces NOT INDEXED ON seq BETWEEN b.block << 10 AND (b.block << 10) + 1023
  CROSS JOIN json_each(traces.models) AS m
 WHERE traces.project_id = :project_id;

-- name: drop_scores
DELETE FROM scores
 WHERE project_id = :project_id AND trace_id IN (SELECT unhex(value) FROM json_each(:trace_ids));

-- name: drop_suggestions
DELETE FROM graph_suggestions
 WHERE project_id = :project_id AND trace_id IN (SELECT value FROM json_each(:trace_ids));

-- Histograms.

-- name: drop_metrics
DELETE FROM trace_metrics
 WHERE (project_id, resolution_s, bucket_s, kind, name, model) IN (
         SELECT m.project_id, m.resolution_s, m.bucket_s, m.kind, m.name, m.model
           FROM projects CROSS JOIN trace_metrics AS m
             ON m.project_id = projects.id AND m.resolution_s = :resolution_s AND m.bucket_s < :before_s
          LIMIT :limit);

-- name: put_later_fact
-- A number that only grows.
INSERT INTO facts (name, value) VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
 WHERE CAST(excluded.value AS INTEGER) > CAST(facts.value AS INTEGER);

-- Erasure.

-- name: of_user
-- Traces of a user, or with a span of that user, of one project or all.
SELECT json_group_array(json_array(project_id, lower(hex(trace_id))))
  FROM traces
 WHERE (:project_id IS NULL OR project_id = :project_id)
   AND (user_id = :value OR seq IN (
         SELECT chunk_id / 256 FROM span_rows
          WHERE instr(spans, :quoted) AND EXISTS (SELECT 1 FROM json_each(spans) AS s WHERE s.value ->> 15 = :value)));

-- name: of_session
SELECT json_group_array(json_array(project_id, lower(hex(trace_id))))
  FROM traces
 WHERE (:project_id IS NULL OR project_id = :project_id)
   AND (session_id = :value OR seq IN (
         SELECT chunk_id / 256 FROM span_rows
          WHERE instr(spans, :quoted) AND EXISTS (SELECT 1 FROM json_each(spans) AS s WHERE s.value ->> 16 = :value)));

-- name: edge_exemplars
SELECT origin_id, target_id, type, lower(hex(exemplars))
  FROM graph_edges
 WHERE project_id = :project_id AND length(exemplars) > 0;

-- name: variant_exemplars
SELECT variant_id, lower(hex(exemplars)) FROM graph_variants WHERE project_id = :project_id AND length(exemplars) > 0;

-- name: put_edge_exemplars
UPDATE graph_edges SET exemplars = unhex(:exemplars)
 WHERE project_id = :project_id AND origin_id = :origin_id AND target_id = :target_id AND type = :type;

-- name: put_variant_exemplars
UPDATE graph_variants SET exemplars = unhex(:exemplars) WHERE variant_id = :variant_id;

-- name: merge_words
-- Bring the search index's parts together, so many pages of it at a time; a number below zero begins with all of them.
INSERT INTO trace_text (trace_text, rank) VALUES ('merge', :pages);

-- name: add_to_fact
INSERT INTO facts (name, value) VALUES (:name, CAST(:more AS TEXT))
    ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + :more AS TEXT);

-- name: trace_count
SELECT coalesce(sum(trace_count), 0) FROM projects;

-- name: drop_fact
DELETE FROM facts WHERE name = :name;

-- The statements of the execution graph. As in queries.sql, what is read comes in one row of JSON.
-- {newest} keeps the newest exemplars: see exemplars.py.

-- Learning.

-- name: due
-- Traces that are due, oldest commit first: those with a root, and those that waited longer for one.
SELECT json_group_array(json_array(seq, project, trace_id, committed_ns, span_count, late, changed))
  FROM (SELECT traces.seq, projects.name AS project, lower(hex(traces.trace_id)) AS trace_id, due.committed_ns,
               traces.span_count, iif(due.late IS NULL, NULL, hex(due.late)) AS late, hex(due.changed) AS changed
          FROM (SELECT * FROM (SELECT trace_seq, committed_ns, late, changed FROM graph_due
                                WHERE rootless = 0 AND committed_ns <= :quiet_since_ns
                                ORDER BY committed_ns, trace_seq LIMIT :limit)
                 UNION ALL
                SELECT * FROM (SELECT trace_seq, committed_ns, late, changed FROM graph_due
                                WHERE rootless = 1 AND committed_ns <= :rootless_quiet_since_ns
                                ORDER BY committed_ns, trace_seq LIMIT :limit)) AS due
          CROSS JOIN traces ON traces.seq = due.trace_seq
          CROSS JOIN projects ON projects.id = traces.project_id
         ORDER BY due.committed_ns, due.trace_seq
         LIMIT :limit);

-- name: marks
-- Where the marks of these traces (a JSON array of hex) stand.
SELECT json_group_array(json_array(wanted.value, due.trace_seq, due.committed_ns))
  FROM json_each(:trace_ids) AS wanted
  CROSS JOIN traces ON traces.project_id = :project_id AND traces.trace_id = unhex(wanted.value)
  CROSS JOIN graph_due AS due ON due.trace_seq = traces.seq;

-- name: learned
DELETE FROM graph_due WHERE trace_seq IN (SELECT value FROM json_each(:seqs));

-- name: set_aside
UPDATE graph_due SET committed_ns = NULL WHERE trace_seq IN (SELECT value FROM json_each(:seqs));

-- name: next_version
INSERT INTO graph_versions (project_id, version, trace_count, variant_count)
VALUES (:project_id, 1, :traces, :variants)
    ON CONFLICT (project_id) DO UPDATE
   SET version = version + 1, trace_count = trace_count + excluded.trace_count,
       variant_count = variant_count + excluded.variant_count
RETURNING version, variant_count;

-- name: add_delta
INSERT INTO graph_deltas (project_id, delta_id, at_ns) VALUES (:project_id, :delta_id, :at_ns)
    ON CONFLICT DO NOTHING RETURNING 1;

-- name: forget_deltas
DELETE FROM graph_deltas WHERE at_ns < :before_ns;

-- Saving. What is added up here is small enough not to be read first; a sum stops at what an integer holds.

-- name: add_to_nodes
INSERT INTO graph_nodes (project_id, kind, name, count, failures, ended, duration_ns, heat, last_ns)
VALUES :rows
    ON CONFLICT (project_id, kind, name) DO UPDATE
   SET count = count + excluded.count, failures = failures + excluded.failures, ended = ended + excluded.ended,
       duration_ns = max(-9223372036854775807, min(9223372036854775807, duration_ns + excluded.duration_ns)),
       heat = max(-9223372036854775807, min(9223372036854775807, heat + excluded.heat)),
       last_ns = max(last_ns, excluded.last_ns);

-- name: node_ids
-- The ids of these nodes (a JSON array of kind and name), by their place.
SELECT json_group_array(json_array(wanted.key, node_id))
  FROM json_each(:nodes) AS wanted
  CROSS JOIN graph_nodes AS n
    ON n.project_id = :project_id AND n.kind = wanted.value ->> 0 AND n.name = wanted.value ->> 1;

-- name: add_to_edges
INSERT INTO graph_edges (project_id, origin_id, target_id, type, count, inferred, failures, declared, duration_ns,
                         heat, last_ns, exemplars)
VALUES :rows
    ON CONFLICT (project_id, origin_id, target_id, type) DO UPDATE
   SET count = count + excluded.count, inferred = inferred + excluded.inferred,
       failures = failures + excluded.failures, declared = declared + excluded.declared,
       duration_ns = max(-9223372036854775807, min(9223372036854775807, duration_ns + excluded.duration_ns)),
       heat = max(-9223372036854775807, min(9223372036854775807, heat + excluded.heat)),
       last_ns = max(last_ns, excluded.last_ns), exemplars = {newest};

-- name: drop_edges
-- Of these edges, those for which nothing speaks any more.
DELETE FROM graph_edges
 WHERE project_id = :project_id
   AND (origin_id, target_id, type) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:edges))
   AND count <= 0 AND inferred <= 0 AND declared <= 0;

-- name: known_variants
-- How many of these variants (a JSON array of digests in hex) there are.
SELECT count(*)
  FROM json_each(:digests) AS wanted
  CROSS JOIN graph_variants AS v ON v.project_id = :project_id AND v.digest = unhex(wanted.value);

-- name: add_to_variants
INSERT INTO graph_variants (project_id, digest, scope_id, truncated, steps, count, failures, duration_ns, heat,
                            last_ns, exemplars)
VALUES :rows
    ON CONFLICT (project_id, digest) DO UPDATE
   SET count = count + excluded.count, failures = failures + excluded.failures,
       duration_ns = max(-9223372036854775807, min(9223372036854775807, duration_ns + excluded.duration_ns)),
       heat = max(-9223372036854775807, min(9223372036854775807, heat + excluded.heat)),
       last_ns = max(last_ns, excluded.last_ns), exemplars = {newest};

-- name: drop_variants
-- Of these variants (a JSON array of digests in hex), those for which nothing speaks any more.
DELETE FROM graph_variants
 WHERE project_id = :project_id AND digest IN (SELECT unhex(value) FROM json_each(:digests)) AND count <= 0;

-- name: prune_variants
-- Those unseen for longest go.
DELETE FROM graph_variants
 WHERE variant_id IN (SELECT variant_id FROM graph_variants WHERE project_id = :project_id
                       ORDER BY last_ns, count, variant_id LIMIT :count);

-- name: count_variants
UPDATE graph_versions SET variant_count = variant_count + :more WHERE project_id = :project_id;

-- name: add_to_slice
INSERT INTO graph_slices (project_id, name, trace_count, last_ns) VALUES (:project_id, :name, :traces, :last_ns)
    ON CONFLICT (project_id, name) DO UPDATE
   SET trace_count = trace_count + excluded.trace_count, last_ns = max(last_ns, excluded.last_ns)
RETURNING slice_id, trace_count;

-- name: add_to_slice_nodes
INSERT INTO graph_slice_nodes (slice_id, node_id, count, failures, ended, duration_ns)
VALUES :rows
    ON CONFLICT (slice_id, node_id) DO UPDATE
   SET count = count + excluded.count, failures = failures + excluded.failures, ended = ended + excluded.ended,
       duration_ns = max(-9223372036854775807, min(9223372036854775807, duration_ns + excluded.duration_ns));

-- name: add_to_slice_edges
INSERT INTO graph_slice_edges (slice_id, origin_id, target_id, type, count, inferred, failures, duration_ns)
VALUES :rows
    ON CONFLICT (slice_id, origin_id, target_id, type) DO UPDATE
   SET count = count + excluded.count, inferred = inferred + excluded.inferred,
       failures = failures + excluded.failures,
       duration_ns = max(-9223372036854775807, min(9223372036854775807, duration_ns + excluded.duration_ns));

-- name: too_many_slices
-- Those that are over :most, of which the traces ended longest ago.
SELECT json_group_array(slice_id)
  FROM (SELECT slice_id FROM graph_slices WHERE project_id = :project_id
         ORDER BY last_ns DESC, name DESC LIMIT -1 OFFSET :most);

-- name: drop_slice
DELETE FROM graph_slices WHERE slice_id = :slice_id;

-- name: drop_slice_nodes
DELETE FROM graph_slice_nodes WHERE slice_id = :slice_id;

-- name: drop_slice_edges
DELETE FROM graph_slice_edges WHERE slice_id = :slice_id;

-- Reading.

-- name: graph_version
SELECT version, trace_count FROM graph_versions WHERE project_id = :project_id;

-- name: nodes
-- Also those without a call left: a template may name them.
SELECT json_group_array(json_array(node_id, kind, name, count, failures, ended, duration_ns, heat, last_ns))
  FROM (SELECT * FROM graph_nodes WHERE project_id = :project_id ORDER BY node_id);

-- name: edges
SELECT json_group_array(json_array(origin_id, target_id, type, count, inferred, failures, declared, duration_ns, heat,
                                   last_ns, lower(hex(exemplars))))
  FROM graph_edges
 WHERE project_id = :project_id;

-- name: variants
-- Steps are JSON already; put together by hand, since reading them as JSON takes as long as all the rest.
SELECT '[' || group_concat('[' || scope_id || ',' || truncated || ',' || count || ',' || failures || ',' || duration_ns
                           || ',' || heat || ',' || last_ns || ',"' || lower(hex(exemplars)) || '",' || steps || ']')
           || ']'
  FROM (SELECT * FROM graph_variants WHERE project_id = :project_id ORDER BY variant_id);

-- name: slices
SELECT json_group_array(name) FROM graph_slices WHERE project_id = :project_id;

-- name: slice_traces
-- How many traces these slices (a JSON array of names) have, and which slices they are.
SELECT coalesce(sum(trace_count), 0), json_group_array(slice_id)
  FROM graph_slices
 WHERE project_id = :project_id AND name IN (SELECT value FROM json_each(:names));

-- name: slice_nodes
-- Sums over slices (a JSON array of ids). Of durations high and low bits, which cannot run over.
SELECT json_group_array(json_array(n.kind, n.name, sums.calls, sums.failed, sums.done, sums.high, sums.low))
  FROM (SELECT node_id, sum(count) AS calls, sum(failures) AS failed, sum(ended) AS done,
               sum(duration_ns / 1024) AS high, sum(duration_ns % 1024) AS low
          FROM json_each(:slice_ids) AS wanted
          CROSS JOIN graph_slice_nodes AS s ON s.slice_id = wanted.value
         GROUP BY node_id HAVING sum(count) > 0) AS sums
  CROSS JOIN graph_nodes AS n ON n.node_id = sums.node_id;

-- name: slice_edges
SELECT json_group_array(json_array(o.kind, o.name, t.kind, t.name, sums.type, sums.sure, sums.guessed, sums.failed,
                                   sums.high, sums.low))
  FROM (SELECT origin_id, target_id, s.type AS type, sum(count) AS sure, sum(inferred) AS guessed,
               sum(failures) AS failed, sum(duration_ns / 1024) AS high, sum(duration_ns % 1024) AS low
          FROM json_each(:slice_ids) AS wanted
          CROSS JOIN graph_slice_edges AS s ON s.slice_id = wanted.value
         GROUP BY origin_id, target_id, s.type HAVING sum(count) > 0 OR sum(inferred) > 0) AS sums
  CROSS JOIN graph_nodes AS o ON o.node_id = sums.origin_id
  CROSS JOIN graph_nodes AS t ON t.node_id = sums.target_id;

-- Templates.

-- name: put_template
INSERT OR REPLACE INTO graph_templates (project_id, name, source_text, declares, at_ns)
VALUES (:project_id, :name, :source_text, :declares, :at_ns);

-- name: declares
SELECT declares FROM graph_templates WHERE project_id = :project_id AND name = :name;

-- name: drop_template
DELETE FROM graph_templates WHERE project_id = :project_id AND name = :name;

-- name: templates
SELECT json_group_array(json_array(name, source_text, at_ns)) FROM graph_templates WHERE project_id = :project_id;

-- Arms.

-- name: add_arm
INSERT INTO graph_arms (project_id, question, version, arm, weights, note, created_ns, share)
SELECT :project_id, :question, coalesce(max(version), 0) + 1, :arm, :weights, :note, :created_ns, 0
  FROM graph_arms WHERE project_id = :project_id AND question = :question
RETURNING version;

-- name: arms
SELECT json_group_array(json_array(question, version, arm, json(weights), note, created_ns, share))
  FROM graph_arms
 WHERE project_id = :project_id AND (:question IS NULL OR question = :question);

-- name: choose_arms
-- Shares is a JSON object of versions; who is not in it answers nothing.
UPDATE graph_arms
   SET share = coalesce((SELECT value FROM json_each(:shares) WHERE key = CAST(version AS TEXT)), 0)
 WHERE project_id = :project_id AND question = :question;

-- Suggestions.

-- name: log_suggestion
INSERT INTO graph_suggestions (project_id, suggestion_id, question, arm, arm_version, trace_id, parent_span_id, at_ns,
                               ranked, probabilities, outcome, rank, state)
VALUES (:project_id, :suggestion_id, :question, :arm, :arm_version, :trace_id, :parent_span_id, :at_ns,
        :ranked, :probabilities, :outcome, :rank, :state)
    ON CONFLICT DO NOTHING;

-- name: open_suggestions
SELECT json_group_array(json_array(suggestion_id, question, arm, arm_version, s.trace_id, parent_span_id, at_ns,
                                   json(ranked), json(probabilities), json(outcome), rank, state))
  FROM json_each(:trace_ids) AS wanted
  CROSS JOIN graph_suggestions AS s INDEXED BY graph_suggestions_open
    ON s.project_id = :project_id AND s.trace_id = wanted.value AND s.state = 0;

-- name: score_suggestion
UPDATE graph_suggestions SET outcome = :outcome, rank = :rank, state = 1
 WHERE project_id = :project_id AND suggestion_id = :suggestion_id AND state = 0;

-- name: open_since
SELECT count(*) FROM graph_suggestions INDEXED BY graph_suggestions_open_by_time WHERE state = 0 AND at_ns < :before_ns;

-- name: close_suggestions
UPDATE graph_suggestions INDEXED BY graph_suggestions_open_by_time SET state = 2 WHERE state = 0 AND at_ns < :before_ns;

-- name: drop_closed_suggestions
-- Oldest first, a few at a time, so that no transaction is long.
DELETE FROM graph_suggestions
 WHERE rowid IN (SELECT rowid FROM graph_suggestions INDEXED BY graph_suggestions_closed_by_time
                  WHERE state > 0 AND at_ns < :before_ns ORDER BY at_ns LIMIT :limit);

-- name: suggestion_records
SELECT json_group_array(json_array(suggestion_id, question, arm, arm_version, trace_id, parent_span_id, at_ns,
                                   json(ranked), json(probabilities), json(outcome), rank, state))
  FROM graph_suggestions
 WHERE project_id = :project_id AND question = :question AND at_ns >= :since_ns;

-- The statements of the execution graph. Changes to one project's graph take turns (locks.py), so what a
-- statement reads of it is what it changes. {newest} keeps the newest exemplars: see graph_saving.py.

-- Learning.

-- name: due
-- Traces that are due, oldest commit first: those with a root, and those that waited longer for one.
SELECT t.seq, p.name, t.trace_id, due.committed_ns, t.span_count, due.late, due.changed
  FROM (SELECT * FROM (SELECT trace_seq, committed_ns, late, changed FROM graph_due
                        WHERE rootless = false AND committed_ns <= %(quiet_since_ns)s
                        ORDER BY committed_ns, trace_seq LIMIT %(limit)s) AS rooted
         UNION ALL
        SELECT * FROM (SELECT trace_seq, committed_ns, late, changed FROM graph_due
                        WHERE rootless = true AND committed_ns <= %(rootless_quiet_since_ns)s
                        ORDER BY committed_ns, trace_seq LIMIT %(limit)s) AS rootless) AS due
  CROSS JOIN LATERAL (SELECT * FROM traces WHERE seq = due.trace_seq OFFSET 0) AS t
  JOIN projects AS p ON p.id = t.project_id
 ORDER BY due.committed_ns, due.trace_seq
 LIMIT %(limit)s;

-- name: marks
-- Where the marks of these traces stand.
SELECT i.trace_id, due.trace_seq, due.committed_ns
  FROM trace_ids AS i
  CROSS JOIN LATERAL (SELECT * FROM graph_due WHERE trace_seq = i.seq OFFSET 0) AS due
 WHERE i.project_id = %(project_id)s AND i.trace_id = ANY(%(trace_ids)s::bytea[]);

-- name: learned
DELETE FROM graph_due WHERE trace_seq = ANY(%(seqs)s::bigint[]);

-- name: set_aside
UPDATE graph_due SET committed_ns = NULL WHERE trace_seq = ANY(%(seqs)s::bigint[]);

-- name: next_version
INSERT INTO graph_versions AS v (project_id, version, trace_count, variant_count)
VALUES (%(project_id)s, 1, %(traces)s, %(variants)s)
    ON CONFLICT (project_id) DO UPDATE
   SET version = v.version + 1, trace_count = v.trace_count + excluded.trace_count,
       variant_count = v.variant_count + excluded.variant_count
RETURNING version, variant_count;

-- name: add_delta
INSERT INTO graph_deltas (project_id, digest, at_ns) VALUES (%(project_id)s, %(digest)s, %(at_ns)s)
    ON CONFLICT DO NOTHING;

-- name: forget_deltas
DELETE FROM graph_deltas WHERE at_ns < %(before_ns)s;

-- Saving. What is added up here is small enough not to be read first; a sum stops at what an integer holds.

-- name: add_to_nodes
INSERT INTO graph_nodes AS n (project_id, digest, kind, name, count, failures, ended, duration_ns, heat, last_ns)
SELECT %(project_id)s, r.* FROM unnest(
         %(digests)s::bytea[], %(kinds)s::text[], %(names)s::text[], %(count)s::bigint[], %(failures)s::bigint[],
         %(ended)s::bigint[], %(duration_ns)s::bigint[], %(heat)s::bigint[], %(last_ns)s::bigint[]) AS r
    ON CONFLICT (project_id, digest) DO UPDATE
   SET count = n.count + excluded.count, failures = n.failures + excluded.failures, ended = n.ended + excluded.ended,
       duration_ns = {sum:duration_ns}, heat = {sum:heat}, last_ns = greatest(n.last_ns, excluded.last_ns)
RETURNING digest, node_id;

-- name: node_ids
SELECT digest, node_id FROM graph_nodes WHERE project_id = %(project_id)s AND digest = ANY(%(digests)s::bytea[]);

-- name: add_to_edges
INSERT INTO graph_edges AS n (project_id, origin_id, target_id, type, count, inferred, failures, declared,
                              duration_ns, heat, last_ns, exemplars)
SELECT %(project_id)s, r.* FROM unnest(
         %(origins)s::bigint[], %(targets)s::bigint[], %(types)s::text[], %(count)s::bigint[], %(inferred)s::bigint[],
         %(failures)s::bigint[], %(declared)s::bigint[], %(duration_ns)s::bigint[], %(heat)s::bigint[],
         %(last_ns)s::bigint[], %(exemplars)s::bytea[]) AS r
    ON CONFLICT (project_id, origin_id, target_id, type) DO UPDATE
   SET count = n.count + excluded.count, inferred = n.inferred + excluded.inferred,
       failures = n.failures + excluded.failures, declared = n.declared + excluded.declared,
       duration_ns = {sum:duration_ns}, heat = {sum:heat}, last_ns = greatest(n.last_ns, excluded.last_ns),
       exemplars = {newest};

-- name: drop_edges
-- Of these edges, those for which nothing speaks any more.
DELETE FROM graph_edges
 WHERE project_id = %(project_id)s AND origin_id = ANY(%(origins)s::bigint[])
   AND (origin_id, target_id, type) IN
       (SELECT * FROM unnest(%(origins)s::bigint[], %(targets)s::bigint[], %(types)s::text[]))
   AND count <= 0 AND inferred <= 0 AND declared <= 0;

-- name: known_variants
-- How many of these variants there are.
SELECT count(*) FROM graph_variants WHERE project_id = %(project_id)s AND digest = ANY(%(digests)s::bytea[]);

-- name: add_to_variants
INSERT INTO graph_variants AS n (project_id, digest, scope_id, truncated, steps, count, failures, duration_ns, heat,
                                 last_ns, exemplars)
SELECT %(project_id)s, r.* FROM unnest(
         %(digests)s::bytea[], %(scopes)s::bigint[], %(truncated)s::boolean[], %(steps)s::text[], %(count)s::bigint[],
         %(failures)s::bigint[], %(duration_ns)s::bigint[], %(heat)s::bigint[], %(last_ns)s::bigint[],
         %(exemplars)s::bytea[]) AS r
    ON CONFLICT (project_id, digest) DO UPDATE
   SET count = n.count + excluded.count, failures = n.failures + excluded.failures,
       duration_ns = {sum:duration_ns}, heat = {sum:heat}, last_ns = greatest(n.last_ns, excluded.last_ns),
       exemplars = {newest};

-- name: drop_variants
-- Of these variants, those for which nothing speaks any more.
DELETE FROM graph_variants
 WHERE project_id = %(project_id)s AND digest = ANY(%(digests)s::bytea[]) AND count <= 0;

-- name: prune_variants
-- Those unseen for longest go.
DELETE FROM graph_variants
 WHERE variant_id IN (SELECT variant_id FROM graph_variants WHERE project_id = %(project_id)s
                       ORDER BY last_ns, count, variant_id LIMIT %(count)s);

-- name: count_variants
UPDATE graph_versions SET variant_count = variant_count + %(more)s WHERE project_id = %(project_id)s;

-- name: add_to_slice
INSERT INTO graph_slices AS s (project_id, name, trace_count, last_ns)
VALUES (%(project_id)s, %(name)s, %(traces)s, %(last_ns)s)
    ON CONFLICT (project_id, md5(name)) DO UPDATE
   SET trace_count = s.trace_count + excluded.trace_count, last_ns = greatest(s.last_ns, excluded.last_ns)
RETURNING slice_id, trace_count;

-- name: add_to_slice_nodes
INSERT INTO graph_slice_nodes AS n (slice_id, node_id, count, failures, ended, duration_ns)
SELECT * FROM unnest(%(slices)s::bigint[], %(nodes)s::bigint[], %(count)s::bigint[], %(failures)s::bigint[],
                     %(ended)s::bigint[], %(duration_ns)s::bigint[])
    ON CONFLICT (slice_id, node_id) DO UPDATE
   SET count = n.count + excluded.count, failures = n.failures + excluded.failures, ended = n.ended + excluded.ended,
       duration_ns = {sum:duration_ns};

-- name: add_to_slice_edges
INSERT INTO graph_slice_edges AS n (slice_id, origin_id, target_id, type, count, inferred, failures, duration_ns)
SELECT * FROM unnest(%(slices)s::bigint[], %(origins)s::bigint[], %(targets)s::bigint[], %(types)s::text[],
                     %(count)s::bigint[], %(inferred)s::bigint[], %(failures)s::bigint[], %(duration_ns)s::bigint[])
    ON CONFLICT (slice_id, origin_id, target_id, type) DO UPDATE
   SET count = n.count + excluded.count, inferred = n.inferred + excluded.inferred,
       failures = n.failures + excluded.failures, duration_ns = {sum:duration_ns};

-- name: drop_old_slices
-- Those that are over :most, of which the traces ended longest ago, with all that they hold.
WITH old AS (
  SELECT slice_id FROM graph_slices WHERE project_id = %(project_id)s
   ORDER BY last_ns DESC, name COLLATE "C" DESC OFFSET %(most)s
), edges AS (
  DELETE FROM graph_slice_edges WHERE slice_id IN (SELECT slice_id FROM old)
), nodes AS (
  DELETE FROM graph_slice_nodes WHERE slice_id IN (SELECT slice_id FROM old)
)
DELETE FROM graph_slices WHERE slice_id IN (SELECT slice_id FROM old);

-- Reading.

-- name: graph_version
SELECT version, trace_count FROM graph_versions WHERE project_id = %(project_id)s;

-- name: nodes
-- Also those without a call left: a template may name them.
SELECT node_id, kind, name, count, failures, ended, duration_ns, heat, last_ns
  FROM graph_nodes
 WHERE project_id = %(project_id)s
 ORDER BY node_id;

-- name: edges
SELECT origin_id, target_id, type, count, inferred, failures, declared, duration_ns, heat, last_ns, exemplars
  FROM graph_edges
 WHERE project_id = %(project_id)s
 ORDER BY origin_id, target_id, type;

-- name: variants
SELECT scope_id, truncated, count, failures, duration_ns, heat, last_ns, exemplars, steps
  FROM graph_variants
 WHERE project_id = %(project_id)s
 ORDER BY variant_id;

-- name: slices
SELECT name FROM graph_slices WHERE project_id = %(project_id)s;

-- name: slice_traces
-- How many traces these slices have, and which slices they are.
SELECT coalesce(sum(trace_count), 0)::bigint, coalesce(array_agg(slice_id), '{}')
  FROM graph_slices
 WHERE project_id = %(project_id)s AND name = ANY(%(names)s::text[]);

-- name: slice_nodes
-- Sums over slices. A sum of durations may be more than an integer holds.
SELECT n.kind, n.name, sums.calls, sums.failed, sums.done, sums.took
  FROM (SELECT node_id, sum(count)::bigint AS calls, sum(failures)::bigint AS failed, sum(ended)::bigint AS done,
               sum(duration_ns) AS took
          FROM graph_slice_nodes
         WHERE slice_id = ANY(%(slice_ids)s::bigint[])
         GROUP BY node_id HAVING sum(count) > 0) AS sums
  JOIN graph_nodes AS n ON n.node_id = sums.node_id;

-- name: slice_edges
SELECT o.kind, o.name, t.kind, t.name, sums.type, sums.sure, sums.guessed, sums.failed, sums.took
  FROM (SELECT origin_id, target_id, type, sum(count)::bigint AS sure, sum(inferred)::bigint AS guessed,
               sum(failures)::bigint AS failed, sum(duration_ns) AS took
          FROM graph_slice_edges
         WHERE slice_id = ANY(%(slice_ids)s::bigint[])
         GROUP BY origin_id, target_id, type HAVING sum(count) > 0 OR sum(inferred) > 0) AS sums
  JOIN graph_nodes AS o ON o.node_id = sums.origin_id
  JOIN graph_nodes AS t ON t.node_id = sums.target_id;

-- Templates.

-- name: put_template
INSERT INTO graph_templates (project_id, name, source_text, declares, at_ns)
VALUES (%(project_id)s, %(name)s, %(source_text)s, %(declares)s, %(at_ns)s)
    ON CONFLICT (project_id, md5(name)) DO UPDATE
   SET source_text = excluded.source_text, declares = excluded.declares, at_ns = excluded.at_ns;

-- name: declares
SELECT declares FROM graph_templates
 WHERE project_id = %(project_id)s AND md5(name) = md5(%(name)s) AND name = %(name)s;

-- name: drop_template
DELETE FROM graph_templates
 WHERE project_id = %(project_id)s AND md5(name) = md5(%(name)s) AND name = %(name)s;

-- name: templates
SELECT name, source_text, at_ns FROM graph_templates WHERE project_id = %(project_id)s;

-- Arms.

-- name: add_arm
INSERT INTO graph_arms (project_id, question, version, arm, weights, note, created_ns, share)
SELECT %(project_id)s, %(question)s, coalesce(max(version), 0) + 1, %(arm)s, %(weights)s, %(note)s, %(created_ns)s, 0
  FROM graph_arms WHERE project_id = %(project_id)s AND question = %(question)s
RETURNING version;

-- name: arms
SELECT question, version, arm, weights, note, created_ns, share
  FROM graph_arms
 WHERE project_id = %(project_id)s AND (%(question)s::text IS NULL OR question = %(question)s);

-- name: choose_arms
-- Who is not named answers nothing.
UPDATE graph_arms AS a
   SET share = coalesce((SELECT share FROM unnest(%(versions)s::integer[], %(shares)s::float8[]) AS c (version, share)
                          WHERE c.version = a.version), 0)
 WHERE project_id = %(project_id)s AND question = %(question)s;

-- Suggestions.

-- name: log_suggestion
INSERT INTO graph_suggestions (project_id, suggestion_id, question, arm, arm_version, trace_id, parent_span_id, at_ns,
                               ranked, probabilities, outcome, rank, state)
VALUES (%(project_id)s, %(suggestion_id)s, %(question)s, %(arm)s, %(arm_version)s, %(trace_id)s, %(parent_span_id)s,
        %(at_ns)s, %(ranked)s, %(probabilities)s, %(outcome)s, %(rank)s, %(state)s)
    ON CONFLICT DO NOTHING;

-- name: open_suggestions
SELECT {suggestion}
  FROM unnest(%(trace_ids)s::text[]) AS wanted (trace_id)
  CROSS JOIN LATERAL (SELECT * FROM graph_suggestions
                       WHERE project_id = %(project_id)s AND md5(trace_id) = md5(wanted.trace_id)
                         AND trace_id = wanted.trace_id AND state = 0 OFFSET 0) AS s;

-- name: score_suggestion
UPDATE graph_suggestions SET outcome = %(outcome)s, rank = %(rank)s, state = 1
 WHERE project_id = %(project_id)s AND md5(suggestion_id) = md5(%(suggestion_id)s)
   AND suggestion_id = %(suggestion_id)s AND state = 0;

-- name: open_since
SELECT EXISTS (SELECT 1 FROM graph_suggestions WHERE state = 0 AND at_ns < %(before_ns)s);

-- name: close_suggestions
UPDATE graph_suggestions SET state = 2 WHERE state = 0 AND at_ns < %(before_ns)s;

-- name: drop_closed_suggestions
-- Oldest first, a few at a time, so that no transaction is long. What another server drops just now is left to it.
DELETE FROM graph_suggestions
 WHERE ctid = ANY (ARRAY(SELECT ctid FROM graph_suggestions
                          WHERE state > 0 AND at_ns < %(before_ns)s ORDER BY at_ns LIMIT %(limit)s FOR UPDATE SKIP LOCKED));

-- name: suggestion_records
SELECT {suggestion}
  FROM graph_suggestions AS s
 WHERE project_id = %(project_id)s AND question = %(question)s AND at_ns >= %(since_ns)s;

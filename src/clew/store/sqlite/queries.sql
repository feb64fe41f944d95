-- Every statement of the SQLite store. Reads answer with one row of JSON wherever they can: a step
-- of SQLite lets go of Python's lock, and taking it back may cost 5 ms while other threads decode.
-- CROSS JOIN is SQLite's word for "in this order": the few that are asked for lead.

-- name: projects
-- Every project that has traces.
SELECT json_group_array(name) FROM projects WHERE trace_count > 0;

-- name: project_id
SELECT id FROM projects WHERE name = :project;

-- name: add_project
INSERT OR IGNORE INTO projects (name) VALUES (:project);

-- name: count_in_project
-- Totals change in the commit that changes what they count.
UPDATE projects
   SET trace_count = trace_count + :traces, span_count = span_count + :spans
 WHERE id = :project_id;

-- name: known
-- All that a commit must know before it writes, in one step: the last seq, and for these ids (a JSON
-- array of hex) which are stored under which seq, what of them is not learned, and the scores given
-- to them. What is not learned: NULL is all, '' nothing, else the ids of spans.
SELECT (SELECT coalesce(max(seq), 0) FROM traces),
       (SELECT json_group_array(json_array(
                 lower(hex(trace_id)), seq,
                 CASE WHEN due.trace_seq IS NULL THEN '' WHEN due.late IS NOT NULL THEN lower(hex(due.late)) END,
                 hex(due.changed)))
          FROM json_each(:trace_ids) AS wanted
          CROSS JOIN traces ON traces.project_id = :project_id AND traces.trace_id = unhex(wanted.value)
          LEFT JOIN graph_due AS due ON due.trace_seq = traces.seq),
       (SELECT json_group_array(json_object(
                 'trace_id', lower(hex(trace_id)), 'span_id', iif(span_id = x'', NULL, lower(hex(span_id))),
                 'name', name, 'source', source, 'value', scores.value, 'best', best, 'label', label,
                 'comment', comment, 'at_ns', at_ns))
          FROM json_each(:trace_ids) AS wanted
          CROSS JOIN scores ON scores.project_id = :project_id AND scores.trace_id = unhex(wanted.value));

-- name: chunks
-- The spans of some traces (a JSON array of seq), chunk by chunk.
SELECT chunk_id, spans
  FROM json_each(:seqs) AS wanted
  CROSS JOIN trace_payloads ON chunk_id BETWEEN wanted.value * 256 AND wanted.value * 256 + 255;

-- name: drop_chunk
DELETE FROM trace_payloads WHERE chunk_id = :chunk_id;

-- name: drop_words
DELETE FROM trace_text WHERE rowid = :chunk_id;

-- name: add_traces
-- New traces, and what changed of known ones.
INSERT INTO traces (seq, project_id, trace_id, name, start_ns, end_ns, duration_ns, status, has_root,
                    span_count, error_count, orphan_count, kinds, models, user_id, session_id, strategy,
                    input_tokens, output_tokens, cost_usd, confidence, response_chars, input_preview,
                    output_preview, score_value, score_best, flag, flag_reason)
VALUES :rows
    ON CONFLICT (seq) DO UPDATE
   SET name = excluded.name, start_ns = excluded.start_ns, end_ns = excluded.end_ns,
       duration_ns = excluded.duration_ns, status = excluded.status, has_root = excluded.has_root,
       span_count = excluded.span_count, error_count = excluded.error_count,
       orphan_count = excluded.orphan_count, kinds = excluded.kinds, models = excluded.models,
       user_id = excluded.user_id, session_id = excluded.session_id, strategy = excluded.strategy,
       input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
       cost_usd = excluded.cost_usd, confidence = excluded.confidence,
       response_chars = excluded.response_chars, input_preview = excluded.input_preview,
       output_preview = excluded.output_preview, score_value = excluded.score_value,
       score_best = excluded.score_best, flag = excluded.flag, flag_reason = excluded.flag_reason;

-- name: put_blocks
-- Bounds only widen.
INSERT INTO trace_blocks (project_id, block, min_start_ns, max_start_ns, min_duration_ns, max_duration_ns, min_tokens,
                          max_tokens, min_cost_usd, max_cost_usd, kinds, classes)
VALUES :rows
    ON CONFLICT (project_id, block) DO UPDATE
   SET min_start_ns = min(min_start_ns, excluded.min_start_ns), max_start_ns = max(max_start_ns, excluded.max_start_ns),
       min_duration_ns = min(min_duration_ns, excluded.min_duration_ns),
       max_duration_ns = max(max_duration_ns, excluded.max_duration_ns),
       min_tokens = min(min_tokens, excluded.min_tokens), max_tokens = max(max_tokens, excluded.max_tokens),
       min_cost_usd = min(min_cost_usd, excluded.min_cost_usd), max_cost_usd = max(max_cost_usd, excluded.max_cost_usd),
       kinds = kinds | excluded.kinds, classes = classes | excluded.classes;

-- name: put_block_models
INSERT OR IGNORE INTO trace_block_models (project_id, model, block)
VALUES :rows;

-- name: put_due
-- What a commit brought is to be learned. Each commit's mark is over the one before, whatever the clock does.
INSERT INTO graph_due (trace_seq, committed_ns, rootless, late, changed)
VALUES :rows
    ON CONFLICT (trace_seq) DO UPDATE
   SET committed_ns = max(excluded.committed_ns, coalesce(committed_ns, 0) + 1), rootless = excluded.rootless,
       late = excluded.late, changed = excluded.changed;

-- name: drop_spans
DELETE FROM span_rows WHERE chunk_id = :chunk_id;

-- name: add_spans
INSERT INTO span_rows (chunk_id, start_ns, finished, spans)
VALUES :rows;

-- name: add_chunks
INSERT INTO trace_payloads (chunk_id, spans)
VALUES :rows;

-- name: add_words
INSERT INTO trace_text (rowid, words)
VALUES :rows;

-- name: known_tallies
-- What is counted already under these keys (a JSON array of arrays); answers with the key's place.
SELECT json_group_array(json_array(wanted.key, json_array(count, errors, input_tokens, output_tokens, cost_usd,
                                                          duration_ns), hex(histogram)))
  FROM json_each(:keys) AS wanted
  CROSS JOIN trace_metrics AS m
    ON m.project_id = :project_id
   AND m.resolution_s = wanted.value ->> 0
   AND m.bucket_s = wanted.value ->> 1
   AND m.kind = wanted.value ->> 2
   AND m.name = wanted.value ->> 3
   AND m.model = wanted.value ->> 4;

-- name: put_tallies
INSERT OR REPLACE INTO trace_metrics (project_id, resolution_s, bucket_s, kind, name, model, count, errors,
                                      input_tokens, output_tokens, cost_usd, duration_ns, histogram)
VALUES :rows;

-- name: put_scores
-- The later judgement stays, in whatever order they come.
INSERT INTO scores (project_id, trace_id, span_id, name, source, value, best, label, comment, at_ns)
VALUES :rows
    ON CONFLICT (project_id, trace_id, span_id, name, source) DO UPDATE
   SET value = excluded.value, best = excluded.best, label = excluded.label,
       comment = excluded.comment, at_ns = excluded.at_ns
 WHERE excluded.at_ns >= scores.at_ns;

-- name: scores_of_trace
SELECT json_group_array(json_object(
         'trace_id', lower(hex(trace_id)), 'span_id', iif(span_id = x'', NULL, lower(hex(span_id))),
         'name', name, 'source', source, 'value', value, 'best', best, 'label', label,
         'comment', comment, 'at_ns', at_ns))
  FROM scores
 WHERE project_id = :project_id AND trace_id = :trace_id;

-- name: traces
-- The summaries of some traces (a JSON array of seq).
SELECT json_group_array(json_array({columns}))
  FROM json_each(:seqs) AS wanted CROSS JOIN traces ON traces.seq = wanted.value;

-- name: newest
-- The newest that match: when they began, id and seq. {source} and {where} are put together in newest.py from fixed
-- parts only.
SELECT json_group_array(json_array(start_ns, lower(hex(trace_id)), seq))
  FROM (SELECT start_ns, trace_id, seq FROM {source}
         WHERE {where}
         ORDER BY start_ns DESC, trace_id DESC
         LIMIT :limit);

-- name: far
-- The one that comes :far behind the newest.
SELECT start_ns, trace_id FROM {source}
 WHERE {where}
 ORDER BY start_ns DESC, trace_id DESC
 LIMIT 1 OFFSET :far;

-- name: blocks
-- The blocks in which something may match, and how far they reach, the latest first.
SELECT json_group_array(json_array(max_start_ns, block))
  FROM (SELECT max_start_ns, block FROM trace_blocks WHERE {where} ORDER BY max_start_ns DESC, block DESC);

-- name: seqs_with_name
-- Which of some traces (a JSON array of seq) have a span of a name. Most have it nowhere, which a look for its JSON
-- (:quoted) tells soonest.
SELECT json_group_array(DISTINCT wanted.value)
  FROM json_each(:seqs) AS wanted
  CROSS JOIN span_rows ON chunk_id BETWEEN wanted.value * 256 AND wanted.value * 256 + 255
 WHERE instr(spans, :quoted) AND EXISTS (SELECT 1 FROM json_each(spans) AS s WHERE s.value ->> 2 = :name);

-- name: scores_with_name
-- The scores of a name that some traces (a JSON array of hex) have.
SELECT json_group_array(json_array(lower(hex(trace_id)), scores.value, label))
  FROM json_each(:trace_ids) AS wanted
  CROSS JOIN scores ON scores.project_id = :project_id AND scores.trace_id = unhex(wanted.value)
 WHERE scores.name = :name;

-- name: trace
SELECT seq, json_array({columns}) FROM traces WHERE project_id = :project_id AND trace_id = :trace_id;

-- name: word_count
-- In how many chunks a word occurs, counted no further than :most.
SELECT count(*) FROM (SELECT 1 FROM trace_text WHERE trace_text MATCH :word LIMIT :most);

-- name: traces_with_word
-- Which traces, from one seq to another, have a word in one of their chunks.
SELECT json_group_array(rowid / 256)
  FROM trace_text
 WHERE trace_text MATCH :word AND rowid BETWEEN :from_seq * 256 AND :to_seq * 256 + 255;

-- name: last_bucket
-- The latest minute that has anything, to read past the end of a window in whole days. Where minutes went,
-- the last of the hour, or the day, that is left.
SELECT nullif(max(m, iif(h > m, h + 3540, -1), iif(d > m, d + 86340, -1)), -1)
  FROM (SELECT coalesce((SELECT max(bucket_s) FROM trace_metrics
                          WHERE project_id = :project_id AND resolution_s = 60), -1) AS m,
               coalesce((SELECT max(bucket_s) FROM trace_metrics
                          WHERE project_id = :project_id AND resolution_s = 3600), -1) AS h,
               coalesce((SELECT max(bucket_s) FROM trace_metrics
                          WHERE project_id = :project_id AND resolution_s = 86400), -1) AS d);

-- name: tallies
-- One resolution's part of a window.
SELECT json_group_array(json_array(bucket_s, json_array(kind, name, model),
                                   json_array(count, errors, input_tokens, output_tokens, cost_usd,
                                              duration_ns), hex(histogram)))
  FROM trace_metrics
 WHERE project_id = :project_id
   AND resolution_s = :resolution_s
   AND bucket_s >= :from_s
   AND bucket_s < :to_s
   AND count > 0  -- a lone end's, whose start came later and lies in another minute
   AND (:kind IS NULL OR kind = :kind)
   AND (:name IS NULL OR name = :name)
   AND (:model IS NULL OR model = :model);

-- name: totals
SELECT coalesce(sum(trace_count), 0), coalesce(sum(span_count), 0), count(*) FILTER (WHERE trace_count > 0)
  FROM projects;

-- name: score_count
SELECT count(*) FROM scores;

-- name: fact
SELECT value FROM facts WHERE name = :name;

-- name: metrics_facts
-- From when on which histograms are there: clew.store.retention.
SELECT name, value FROM facts WHERE name IN ('metrics_from_s:60', 'metrics_from_s:3600');

-- name: put_fact
INSERT OR REPLACE INTO facts (name, value) VALUES (:name, :value);

-- name: add_key
INSERT OR REPLACE INTO keys (key_hash, scope, project, label, created_ns)
VALUES (:key_hash, :scope, :project, :label, :created_ns);

-- name: find_key
SELECT key_hash, scope, project, label, created_ns FROM keys WHERE key_hash = :key_hash;

-- name: list_keys
SELECT key_hash, scope, project, label, created_ns FROM keys ORDER BY created_ns, key_hash;

-- name: remove_keys
-- No LIKE: a prefix of wildcards must not remove every key.
DELETE FROM keys WHERE substr(key_hash, 1, length(:prefix)) = :prefix AND :prefix <> '';

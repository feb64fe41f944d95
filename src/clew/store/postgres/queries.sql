-- Every statement of the PostgreSQL store about traces, latencies, scores and keys.
-- LATERAL with OFFSET 0 says "in this order": the few that are asked for lead, whatever the planner
-- believes of a table that was empty a minute ago.

-- name: projects
-- Every project that has traces.
SELECT name FROM projects
 WHERE EXISTS (SELECT 1 FROM project_totals AS t WHERE t.project_id = projects.id AND t.trace_count > 0);

-- name: project_id
SELECT id FROM projects WHERE md5(name) = md5(%(project)s) AND name = %(project)s;

-- name: add_project
INSERT INTO projects (name) VALUES (%(project)s) ON CONFLICT (md5(name)) DO NOTHING;

-- name: count_in_project
-- Totals change in the commit that changes what they count.
INSERT INTO project_totals AS t (project_id, part, trace_count, span_count)
VALUES (%(project_id)s, %(part)s, %(traces)s, %(spans)s)
    ON CONFLICT (project_id, part) DO UPDATE
   SET trace_count = t.trace_count + excluded.trace_count, span_count = t.span_count + excluded.span_count;

-- name: trace_numbers
-- A block of numbers for new traces.
SELECT nextval('trace_numbers');

-- name: record_types
-- The numbers that the database has given to the rows of its tables, as types.
SELECT wanted.name, to_regtype(wanted.name)::oid FROM unnest(%(names)s::text[]) AS wanted (name);

-- name: claim_traces
-- Make the traces that are not there. In the order of their ids, so that two processes wait for each
-- other in one direction only.
INSERT INTO trace_ids (project_id, trace_id, seq)
SELECT %(project_id)s, wanted.trace_id, wanted.seq
  FROM unnest(%(trace_ids)s::bytea[], %(seqs)s::bigint[]) AS wanted (trace_id, seq)
 ORDER BY wanted.trace_id
    ON CONFLICT (project_id, trace_id) DO NOTHING
RETURNING seq;

-- name: lock_traces
-- Have these traces to ourselves until the commit. What is known of them is asked after it: beside the
-- row that it locks, a statement sees what was there when it began.
SELECT seq FROM trace_ids
 WHERE project_id = %(project_id)s AND trace_id = ANY(%(trace_ids)s::bytea[])
 ORDER BY trace_id
   FOR UPDATE;

-- name: known
-- Under which numbers these traces are stored, if anything of them is, and what of them is not learned.
SELECT i.trace_id, i.seq, t.seq IS NOT NULL, due.trace_seq IS NOT NULL, due.late, due.changed
  FROM trace_ids AS i
  LEFT JOIN LATERAL (SELECT seq FROM traces WHERE seq = i.seq OFFSET 0) AS t ON true
  LEFT JOIN LATERAL (SELECT * FROM graph_due WHERE trace_seq = i.seq OFFSET 0) AS due ON true
 WHERE i.project_id = %(project_id)s AND i.trace_id = ANY(%(trace_ids)s::bytea[]);

-- name: scores_of_traces
SELECT trace_id, span_id, name, source, value, best, label, comment, at_ns
  FROM scores
 WHERE project_id = %(project_id)s AND trace_id = ANY(%(trace_ids)s::bytea[]);

-- name: chunks
-- The spans of some traces, chunk by chunk.
SELECT chunk_id, spans
  FROM unnest(%(seqs)s::bigint[]) AS wanted (seq)
  CROSS JOIN LATERAL (SELECT chunk_id, spans FROM trace_payloads
                       WHERE chunk_id >= wanted.seq * 256 AND chunk_id <= wanted.seq * 256 + 255 OFFSET 0) AS chunks
 ORDER BY chunk_id;

-- name: drop_traces
DELETE FROM traces WHERE seq = ANY(%(seqs)s::bigint[]);

-- name: drop_spans
-- What is replaced: a running span by a finished one.
DELETE FROM trace_spans
 WHERE trace_seq = ANY(%(seqs)s::bigint[])
   AND (trace_seq, span_id) IN (SELECT * FROM unnest(%(seqs)s::bigint[], %(span_ids)s::bytea[]));

-- name: drop_chunks
DELETE FROM trace_payloads WHERE chunk_id = ANY(%(chunk_ids)s::bigint[]);

-- name: drop_words
DELETE FROM trace_text WHERE chunk_id = ANY(%(chunk_ids)s::bigint[]);

-- name: add_traces
INSERT INTO traces SELECT * FROM unnest(%(rows)s::traces[]);

-- name: add_spans
INSERT INTO trace_spans SELECT * FROM unnest(%(rows)s::trace_spans[]);

-- name: add_chunks
INSERT INTO trace_payloads SELECT * FROM unnest(%(rows)s::trace_payloads[]);

-- name: add_words
INSERT INTO trace_text SELECT * FROM unnest(%(rows)s::trace_text[]);

-- name: add_word_blocks
INSERT INTO trace_text_blocks SELECT * FROM unnest(%(rows)s::trace_text_blocks[]);

-- name: sort_words_in
-- Sort in what waits in the lists of the indexes of words.
SELECT sum(gin_clean_pending_list(i.indexrelid::regclass))::bigint
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
 WHERE a.amname = 'gin' AND i.indrelid IN (SELECT to_regclass(t) FROM unnest(%(tables)s::text[]) AS t);

-- name: void_words
-- These are written anew, whatever a block says of them. Where none does, it does no harm.
INSERT INTO trace_text_void SELECT * FROM unnest(%(seqs)s::bigint[]) ON CONFLICT DO NOTHING;

-- name: add_due
INSERT INTO graph_due SELECT * FROM unnest(%(rows)s::graph_due[]);

-- name: put_due
-- What a commit brought of a stored trace is to be learned. Each commit's mark is over the one before,
-- whatever the clock does.
INSERT INTO graph_due AS d (trace_seq, committed_ns, rootless, late, changed)
VALUES (%(seq)s, %(committed_ns)s, %(rootless)s, %(late)s, %(changed)s)
    ON CONFLICT (trace_seq) DO UPDATE
   SET committed_ns = greatest(excluded.committed_ns, coalesce(d.committed_ns, 0) + 1),
       rootless = excluded.rootless, late = excluded.late, changed = excluded.changed;

-- name: known_tallies
-- What our part counts already under these keys; answers with the key's place, from 1.
SELECT wanted.place, m.count, m.errors, m.input_tokens, m.output_tokens, m.cost_usd, m.duration_ns, m.histogram
  FROM unnest(%(resolutions_s)s::bigint[], %(buckets_s)s::bigint[], %(operations)s::bytea[])
       WITH ORDINALITY AS wanted (resolution_s, bucket_s, operation, place)
  CROSS JOIN LATERAL (
         SELECT * FROM trace_metrics
          WHERE project_id = %(project_id)s AND resolution_s = wanted.resolution_s AND bucket_s = wanted.bucket_s
            AND operation = wanted.operation AND part = %(part)s OFFSET 0) AS m;

-- name: put_tallies
INSERT INTO trace_metrics SELECT * FROM unnest(%(rows)s::trace_metrics[])
    ON CONFLICT (project_id, resolution_s, bucket_s, operation, part) DO UPDATE
   SET count = excluded.count, errors = excluded.errors, input_tokens = excluded.input_tokens,
       output_tokens = excluded.output_tokens, cost_usd = excluded.cost_usd, duration_ns = excluded.duration_ns,
       histogram = excluded.histogram;

-- name: put_score
-- The later judgement stays, in whatever order they come.
INSERT INTO scores AS s (project_id, trace_id, judgement, span_id, name, source, value, best, label, comment, at_ns)
VALUES (%(project_id)s, %(trace_id)s, %(judgement)s, %(span_id)s, %(name)s, %(source)s, %(value)s, %(best)s,
        %(label)s, %(comment)s, %(at_ns)s)
    ON CONFLICT (project_id, trace_id, judgement) DO UPDATE
   SET value = excluded.value, best = excluded.best, label = excluded.label,
       comment = excluded.comment, at_ns = excluded.at_ns
 WHERE excluded.at_ns >= s.at_ns;

-- name: list_traces
-- A page of summaries; {columns} and {where} are put together in listing.py from fixed parts only.
SELECT {columns} FROM traces
 WHERE {where}
 ORDER BY start_ns DESC, trace_id DESC
 LIMIT %(limit)s;

-- name: seqs_with_name
-- Which of some traces have a span of a name.
SELECT wanted.seq
  FROM unnest(%(seqs)s::bigint[]) AS wanted (seq)
  CROSS JOIN LATERAL (SELECT 1 FROM trace_spans WHERE trace_seq = wanted.seq AND name = %(name)s LIMIT 1) AS s;

-- name: scores_with_name
-- The scores of a name that some traces have.
SELECT trace_id, value, label
  FROM scores
 WHERE project_id = %(project_id)s AND trace_id = ANY(%(trace_ids)s::bytea[]) AND name = %(name)s;

-- name: trace
SELECT t.seq, {columns}
  FROM traces AS t
 WHERE t.seq = (SELECT i.seq FROM trace_ids AS i WHERE i.project_id = %(project_id)s AND i.trace_id = %(trace_id)s);

-- name: by_index
SET LOCAL enable_seqscan = off;

-- name: traces_with_word
SELECT DISTINCT chunk_id / 256 FROM trace_text WHERE words @> ARRAY[%(word)s]::text[];

-- name: blocks_with_word
-- With the word's place among those of the block.
SELECT places, array_position(words, %(word)s) FROM trace_text_blocks WHERE words @> ARRAY[%(word)s]::text[];

-- name: word_count
-- In how many blocks, and in how many rows of one trace, a word occurs, counted no further than :most.
SELECT (SELECT count(*) FROM (SELECT 1 FROM trace_text_blocks
                               WHERE words @> ARRAY[%(word)s]::text[] LIMIT %(most)s) AS blocks),
       (SELECT count(*) FROM (SELECT 1 FROM trace_text
                               WHERE words @> ARRAY[%(word)s]::text[] LIMIT %(most)s) AS rows);

-- name: words_of
-- Of traces from one seq to another, whose rows are looked at one by one: which of these words each has.
SELECT chunk_id / 256, array_agg(DISTINCT w.word)
  FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS run (first, last)
  CROSS JOIN LATERAL (SELECT chunk_id, words FROM trace_text
                       WHERE chunk_id >= run.first * 256 AND chunk_id <= run.last * 256 + 255 OFFSET 0) AS chunks
  CROSS JOIN unnest(%(words)s::text[]) AS w (word)
 WHERE chunks.words @> ARRAY[w.word]
 GROUP BY chunk_id / 256;

-- name: blocks_of
-- The blocks that traces from one seq to another are in, with the places of some words among those of the
-- block. A block is of one run of a thousand numbers.
SELECT places, ARRAY(SELECT array_position(blocks.words, w.word)
                       FROM unnest(%(words)s::text[]) WITH ORDINALITY AS w (word, nth) ORDER BY w.nth)
  FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS run (first, last)
  CROSS JOIN LATERAL (SELECT places, words FROM trace_text_blocks
                       WHERE first_seq > run.first - 1000 AND first_seq <= run.last AND last_seq >= run.first
                      OFFSET 0) AS blocks;

-- name: void
SELECT seq FROM trace_text_void WHERE seq = ANY(%(seqs)s::bigint[]);

-- name: last_bucket
-- The latest minute that has anything, to read past the end of a window in whole days. Where minutes went,
-- the last of the hour, or the day, that is left. Not by max(), for which all of an index is read where the
-- planner takes the table for small.
SELECT greatest(m, CASE WHEN m IS NULL OR h > m THEN h + 3540 END, CASE WHEN m IS NULL OR d > m THEN d + 86340 END)
  FROM (SELECT (SELECT bucket_s FROM trace_metrics
                 WHERE project_id = %(project_id)s AND resolution_s = 60
                 ORDER BY project_id DESC, resolution_s DESC, bucket_s DESC LIMIT 1) AS m,
               (SELECT bucket_s FROM trace_metrics
                 WHERE project_id = %(project_id)s AND resolution_s = 3600
                 ORDER BY project_id DESC, resolution_s DESC, bucket_s DESC LIMIT 1) AS h,
               (SELECT bucket_s FROM trace_metrics
                 WHERE project_id = %(project_id)s AND resolution_s = 86400
                 ORDER BY project_id DESC, resolution_s DESC, bucket_s DESC LIMIT 1) AS d) AS last;

-- name: tallies
-- One resolution's part of a window.
SELECT bucket_s, kind, name, model, count, errors, input_tokens, output_tokens, cost_usd, duration_ns, histogram
  FROM trace_metrics
 WHERE project_id = %(project_id)s
   AND resolution_s = %(resolution_s)s
   AND bucket_s >= %(from_s)s
   AND bucket_s < %(to_s)s
   AND (%(kind)s::text IS NULL OR kind = %(kind)s)
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(model)s::text IS NULL OR model = %(model)s);

-- name: totals
SELECT coalesce(sum(traces), 0)::bigint, coalesce(sum(spans), 0)::bigint, count(*) FILTER (WHERE traces > 0)
  FROM (SELECT sum(trace_count) AS traces, sum(span_count) AS spans FROM project_totals GROUP BY project_id) AS t;

-- name: score_count
SELECT count(*) FROM scores;

-- name: version
SELECT current_setting('server_version'), (SELECT max(number) FROM clew_schema);

-- name: bytes
-- Of every table of the schema, with its indexes.
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
  FROM pg_class
 WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'm');

-- name: fact
SELECT value FROM facts WHERE name = %(name)s;

-- name: metrics_facts
-- From when on which histograms are there: clew.store.retention.
SELECT name, value FROM facts WHERE name IN ('metrics_from_s:60', 'metrics_from_s:3600');

-- name: put_fact
INSERT INTO facts (name, value) VALUES (%(name)s, %(value)s)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE facts.value <> excluded.value;

-- name: add_key
INSERT INTO keys (key_hash, scope, project, label, created_ns)
VALUES (%(key_hash)s, %(scope)s, %(project)s, %(label)s, %(created_ns)s)
    ON CONFLICT (key_hash) DO UPDATE
   SET scope = excluded.scope, project = excluded.project, label = excluded.label, created_ns = excluded.created_ns;

-- name: find_key
SELECT key_hash, scope, project, label, created_ns FROM keys WHERE key_hash = %(key_hash)s;

-- name: list_keys
SELECT key_hash, scope, project, label, created_ns FROM keys ORDER BY created_ns, key_hash;

-- name: remove_keys
-- No LIKE: a prefix of wildcards must not remove every key.
DELETE FROM keys WHERE left(key_hash, length(%(prefix)s)) = %(prefix)s AND %(prefix)s <> '';

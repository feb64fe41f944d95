-- The questions of retention and erasure, and which rows are there although something went: pieces and rows of
-- what is gone stay on the disk for a while. What is gone is said by `clew_log` (see `expiry_log`).

-- Terms, which `connect` puts into other questions.

-- name: shown
-- A row of `clew_traces` is of no trace that went.
(project, trace_id, base) GLOBAL NOT IN (
       SELECT project, toFixedString(unhex(key), 16), mark FROM clew_log WHERE stream = 'gone' AND sort = 'gone');

-- name: shown_here
-- The same, of one project.
(project, trace_id, base) GLOBAL NOT IN (
       SELECT project, toFixedString(unhex(key), 16), mark FROM clew_log
        WHERE project = unhex({project:String}) AND stream = 'gone' AND sort = 'gone');

-- name: shown_until
-- The same, as of a position of its log.
(project, trace_id, base) GLOBAL NOT IN (
       SELECT project, toFixedString(unhex(key), 16), mark FROM clew_log
        WHERE project = unhex({project:String}) AND stream = 'gone' AND sort = 'gone' AND position <= {gone:UInt64});

-- name: shown_wanted
-- The same, of some traces.
(project, trace_id, base) GLOBAL NOT IN (
       SELECT project, toFixedString(unhex(key), 16), mark FROM clew_log
        WHERE (project, key) IN (SELECT project, lower(hex(trace_id)) FROM wanted) AND stream = 'gone' AND sort = 'gone');

-- name: kept
-- A piece has not gone.
piece GLOBAL NOT IN (SELECT arrayJoin(pieces) FROM clew_log WHERE stream = 'gone' AND sort = 'gone');

-- name: kept_wanted
-- The same, of some traces.
piece GLOBAL NOT IN (
       SELECT arrayJoin(pieces) FROM clew_log
        WHERE (project, key) IN (SELECT project, lower(hex(trace_id)) FROM wanted) AND stream = 'gone' AND sort = 'gone');

-- name: told_here
-- What was counted beside the traces of a project: told by SDKs, and left of what went. Where a day was summed up
-- (`summed`: of what went before that position, and told up to the one in `count`), the rows before are
-- its sum's. `since` says of a row that it came after the sum.
(
       SELECT minute, kind, name, model, count, errors, input_tokens, output_tokens, cost_usd, duration_ns, buckets,
              counts, day, step_s, if(stream = 'gone', position > summed, position > told) AS since
         FROM (
           SELECT stream, position, minute, kind, name, model, count, errors, input_tokens, output_tokens, cost_usd,
                  duration_ns, buckets, counts, intDiv(minute, 1440) AS day
             FROM clew_log
            WHERE project = unhex({project:String}) AND sort = 'minute'
              AND minute >= {from_minute:Int64} AND minute < {to_minute:Int64}
              AND if(stream = 'gone', position <= {gone:UInt64}, position <= {told:UInt64})
         ) AS one
         GLOBAL LEFT JOIN (
           SELECT intDiv(minute, 1440) AS day, max(position) AS summed, argMax(count, position) AS told,
                  argMax(mark, position) AS step_s
             FROM clew_log
            WHERE project = unhex({project:String}) AND stream = 'gone' AND sort = 'summed' AND position <= {gone:UInt64}
            GROUP BY day
         ) AS sums USING (day)
        WHERE if(stream = 'gone', position >= summed, position > told)
     );

-- What is to go.

-- name: expired
-- Traces of a project that began before what their flag and status allow, oldest start first.
SELECT trace_id, start_ns, flag, status, span_count
  FROM clew_traces FINAL
 WHERE project = unhex({project:String})
   AND start_ns < {latest_ns:Int64}
   AND start_ns < transform(concat(flag, '_', status), {classes:Array(String)}, {cutoffs:Array(Int64)}, {never:Int64})
   AND (start_ns, hex(trace_id)) > ({after_ns:Int64}, upper({after_id:String}))
   AND {shown_here}
 ORDER BY start_ns, trace_id
 LIMIT {limit:UInt64};

-- name: first_day
-- The first day, from one on, on which a trace came, and how many did.
SELECT min(day), count() FROM clew_traces WHERE day >= toDate({day:String});

-- name: earliest
-- Traces that came on a day, without those of some flags and status, those that came first before.
SELECT project, trace_id, came_ns, start_ns, flag, status, span_count
  FROM clew_traces FINAL
 WHERE day = toDate({day:String})
   AND NOT has({spared:Array(String)}, concat(flag, '_', status))
   AND (came_ns, hex(project), hex(trace_id)) > ({after_ns:Int64}, upper({after_project:String}), upper({after_id:String}))
   AND {shown}
 ORDER BY came_ns, hex(project), trace_id
 LIMIT {limit:UInt64};

-- name: waiting
-- Which of some traces may be to be learned.
SELECT project, trace_id
  FROM clew_due FINAL
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted) AND done = 0;

-- name: as_they_are
-- What some traces are now, of which pieces, and what was counted of them.
SELECT trace_id, start_ns, flag, status, span_count, base, pieces, tally_minute, tally_kind, tally_name, tally_model,
       tally_count, tally_errors, tally_input_tokens, tally_output_tokens, tally_cost_usd, tally_duration_ns,
       tally_buckets, tally_counts
  FROM clew_traces FINAL
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted) AND {shown_wanted};

-- Whom to erase.

-- name: of_user
-- Traces of which a span names a user.
SELECT project, trace_id FROM clew_traces FINAL
 WHERE has(users, unhex({value:String})) AND ({project:String} = '' OR project = unhex({project:String})) AND {shown};

-- name: of_session
-- Traces of which a span names a session.
SELECT project, trace_id FROM clew_traces FINAL
 WHERE has(sessions, unhex({value:String})) AND ({project:String} = '' OR project = unhex({project:String})) AND {shown};

-- name: of_trace
-- Where there are pieces of a trace.
SELECT DISTINCT project, trace_id FROM clew_pieces
 WHERE trace_id = toFixedString(unhex({value:String}), 16)
   AND ({project:String} = '' OR project = unhex({project:String})) AND {kept};

-- name: learned_projects
-- Projects with a graph.
SELECT DISTINCT project FROM clew_log WHERE stream = 'graph' AND sort IN ('change', 'snapshot');

-- name: suggested
-- Suggestions made for some traces.
SELECT suggestion_id FROM clew_suggestions FINAL
 WHERE project = unhex({project:String}) AND has({trace_ids:Array(String)}, trace_id);

-- name: closed_suggestions
-- The oldest whose outcome is known, or no longer waited for.
SELECT project, suggestion_id FROM clew_suggestions FINAL
 WHERE state IN (1, 2) AND at_ns < {before_ns:Int64}
 ORDER BY at_ns, project, suggestion_id
 LIMIT {limit:UInt64};

-- name: erased_suggestions
-- Suggestions of which nothing is to be left.
SELECT DISTINCT project, suggestion_id FROM clew_suggestions WHERE state = 9;

-- name: scrubs
-- What is to be rewritten.
SELECT name, value FROM clew_facts FINAL WHERE startsWith(name, 'scrub:');

-- What went.

-- name: went_heads
-- Up to where there are traces that went, and up to where their rows were deleted.
SELECT project, maxIf(position, sort = 'gone'), maxIf(position, sort = 'cleaned')
  FROM clew_log
 WHERE stream = 'gone' AND sort IN ('gone', 'cleaned')
 GROUP BY project;

-- name: went_before
-- From where to where there are traces that went some time ago.
SELECT project, min(position), max(position)
  FROM clew_log
 WHERE stream = 'gone' AND sort = 'gone' AND at_ns < {before_ns:Int64}
 GROUP BY project;

-- name: went
-- What went at some positions.
SELECT key, mark, pieces, skipped
  FROM clew_log
 WHERE project = unhex({project:String}) AND stream = 'gone' AND sort = 'gone'
   AND position > {after:UInt64} AND position <= {until:UInt64};

-- name: rows_on_disk
-- Every row of some traces, dead or not, and on which day.
SELECT DISTINCT trace_id, base, toString(toYYYYMMDD(day))
  FROM clew_traces
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted);

-- name: pieces_on_disk
-- Every piece of some traces, dead or not, and on which day.
SELECT DISTINCT trace_id, piece, toString(toYYYYMMDD(day))
  FROM clew_pieces
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted);

-- name: due_on_disk
-- Every row of some traces among those that are due, or were.
SELECT DISTINCT trace_id, rank
  FROM clew_due
 WHERE (project, trace_id) IN (SELECT project, trace_id FROM wanted);

-- name: hollow
-- Of each day of a table: its rows, and those that were deleted and are there still.
SELECT _partition_id, count(), countIf(_row_exists = 0)
  FROM {terms}
 GROUP BY _partition_id
HAVING countIf(_row_exists = 0) > 0
SETTINGS apply_deleted_mask = 0;

-- name: learned_on_disk
-- Where the log says that some traces were learned.
SELECT DISTINCT key, mark
  FROM clew_log
 WHERE (project, key) IN (SELECT project, lower(hex(trace_id)) FROM wanted) AND stream = 'graph' AND sort = 'trace';

-- name: long_logs
-- Logs of which the beginning is summed up, and up to where.
SELECT project, stream, maxIf(position, sort = 'snapshot') AS summed
  FROM clew_log
 WHERE sort IN ('change', 'snapshot')
 GROUP BY project, stream
HAVING min(position) < summed;

-- name: old_rows
-- Rows of a sort that are of no use any more.
SELECT count() FROM clew_log WHERE sort = {sort:String} AND at_ns < {before_ns:Int64};

-- Histograms.

-- name: kept_metrics
-- From when on minutes and hours are kept.
SELECT name, value FROM clew_facts FINAL WHERE startsWith(name, 'metrics_from_s:');

-- name: counted_projects
-- Projects of which something was counted beside traces.
SELECT DISTINCT project FROM clew_log WHERE sort = 'minute';

-- name: day_to_sum
-- The first day that has rows finer than a step, or many that could be fewer.
SELECT day, count() AS rows
  FROM {told_here} AS counted
 GROUP BY day
HAVING max(since OR step_s < {step_s:UInt32})
   AND rows >= {least:UInt64}
   AND rows >= {share:UInt64} * uniqExact(minute, kind, name, model)
 ORDER BY day
 LIMIT 1;

-- name: day_sums
-- The sums of a day, by a step of so many minutes.
SELECT intDiv(minute, {step:Int64}) * {step:Int64} AS since_minute, kind, name, model, sum(count), sum(errors),
       sum(input_tokens), sum(output_tokens), sum(cost_usd), sum(duration_ns), sumMap(buckets, counts)
  FROM {told_here} AS counted
 GROUP BY since_minute, kind, name, model;

-- name: old_sums
-- Days that were summed up some time ago.
SELECT project, minute, max(position), argMax(count, position)
  FROM clew_log
 WHERE stream = 'gone' AND sort = 'summed' AND at_ns < {before_ns:Int64}
 GROUP BY project, minute;

-- name: summed_rows
-- Whether rows are left that a sum of a day replaced.
SELECT count() FROM clew_log
 WHERE project = unhex({project:String}) AND sort IN ('minute', 'summed')
   AND minute >= {from_minute:Int64} AND minute < {to_minute:Int64}
   AND if(stream = 'gone', position < {summed:UInt64}, position <= {told:Int64});

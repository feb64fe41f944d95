-- What `clew doctor` asks one server.

-- name: health_server
-- Version, and the time in milliseconds since 1970, UTC.
SELECT version(), toUnixTimestamp64Milli(now64(3));

-- name: health_tables
-- Our tables, and which of them wait for the disk.
SELECT name, engine LIKE '%MergeTree', create_table_query LIKE '%fsync_after_insert = 1%'
  FROM system.tables
 WHERE database = currentDatabase() AND name LIKE 'clew\_%';

-- name: health_settings
-- What stands of the settings that promises stand on, ours included: a profile may hold them.
SELECT name, value FROM system.settings
 WHERE name IN ('async_insert', 'wait_for_async_insert', 'insert_deduplicate', 'skip_unavailable_shards');

-- name: health_parts
-- The partition with most parts, and at how many inserts are refused.
SELECT table, partition, count(),
       (SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = 'parts_to_throw_insert')
  FROM system.parts
 WHERE active AND database = currentDatabase() AND table LIKE 'clew\_%'
 GROUP BY table, partition
 ORDER BY count() DESC
 LIMIT 1;

-- name: health_disks
-- What is free on the disk that has least.
SELECT min(free_space) FROM system.disks WHERE total_space > 0 AND is_remote = 0;

-- name: health_replicas
-- Replicas that take no inserts.
SELECT table FROM system.replicas WHERE database = currentDatabase() AND is_readonly;

-- name: health_shards
-- The shards of a cluster as its configuration has them.
SELECT shard_num, groupArray(concat(host_name, ':', toString(port)))
  FROM system.clusters
 WHERE cluster = {cluster:String}
 GROUP BY shard_num
 ORDER BY shard_num;

-- name: health_shard_tables
-- The tables on each shard that answers.
SELECT shardNum(), groupUniqArray(name)
  FROM cluster({cluster:String}, system.tables)
 WHERE database = {database:String} AND name LIKE 'clew\_%'
 GROUP BY shardNum()
SETTINGS skip_unavailable_shards = 1;

-- name: health_shards_there
-- The shards that answer.
SELECT DISTINCT shardNum() FROM cluster({cluster:String}, system.one) SETTINGS skip_unavailable_shards = 1;

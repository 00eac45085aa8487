-- Version 12: privacy masks that are burnt into segments.

-- What is masked in the pictures of a segment and how, as its file says; NULL: nothing is.
ALTER TABLE segments ADD COLUMN masks TEXT;

-- Whether masks were to be burnt in when a segment was tried: one that was kept without them is tried again with them.
ALTER TABLE transcodes ADD COLUMN masked INTEGER NOT NULL DEFAULT 0;

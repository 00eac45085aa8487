-- Version 13: gaps that are filled from the cameras' own cards.

-- Whether a segment was fetched from its camera's card afterwards, as its file says.
ALTER TABLE segments ADD COLUMN from_card INTEGER NOT NULL DEFAULT 0;

-- When the camera's card was asked for what is missing here, and had no more of it; NULL: it was not asked.
ALTER TABLE gaps ADD COLUMN asked_ns INTEGER;

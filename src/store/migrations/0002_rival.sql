-- What becomes of a second publisher with the key while the first is there.
ALTER TABLE keys ADD COLUMN rival TEXT NOT NULL DEFAULT 'takes-over'
    CHECK (rival IN ('takes-over', 'refused'));

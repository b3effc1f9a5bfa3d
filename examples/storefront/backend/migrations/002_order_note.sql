-- irreversible: what customers wrote would be lost
ALTER TABLE orders ADD COLUMN note TEXT NOT NULL DEFAULT '';

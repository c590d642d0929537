"""The page that shows what happened in a run and why: one file, no server, no network."""

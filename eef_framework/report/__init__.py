"""The HTML report of a run: one self-contained file that needs no server and no network."""

"""The configuration of a run: its schema, and how it is composed and resolved."""

"""The configuration of a run: the tree, how it is composed, and what it comes to."""

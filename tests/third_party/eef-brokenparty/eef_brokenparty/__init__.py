"""A plugin that doesn't import."""

raise RuntimeError("this plugin needs a newer moon")

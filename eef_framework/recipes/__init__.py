"""Recipes: methods, and what `eef-run` does by itself, as YAML."""

"""Recipes: methods as YAML, among them `demo`, the default of `eef-run`."""

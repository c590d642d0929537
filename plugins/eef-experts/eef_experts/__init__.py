"""Experts: models behind servers, local models, recordings."""

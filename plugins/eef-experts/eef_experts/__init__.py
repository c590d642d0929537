"""Experts: models on servers, local models, recordings."""

"""Experts for eef-framework: models on servers, local models, recordings."""

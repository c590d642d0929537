"""Test doubles and checks for plugins: a tiny environment, a scripted expert, policies without a model, conformance.

The doubles run in milliseconds without torch, so that tests can play whole runs.
"""

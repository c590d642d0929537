"""Test doubles that ship with the package: a tiny world, a fallible expert, policies without a model, and checks.

Everything here runs in milliseconds and imports no torch, so that a whole run can be tested.
"""

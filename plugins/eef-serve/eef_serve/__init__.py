"""Environments over HTTP: a server with fork and restore, and the environment `remote` as its client."""

"""WebShop for eef-framework: a generated shop that needs no download, and experts for it."""

"""WebShop for eef-framework: the real shop, a generated shop that needs no download, and experts for both."""

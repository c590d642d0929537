"""A generated shop: no download, and pages short enough for a model that trains on a laptop."""

"""A generated shop, which needs no download, with short pages for models that train on a laptop."""

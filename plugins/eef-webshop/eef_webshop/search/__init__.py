"""WebShop's search without Lucene: the same analysis, the same BM25, the same order of results."""

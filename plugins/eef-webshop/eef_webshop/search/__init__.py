"""WebShop's search engine without Lucene: the same text analysis, the same BM25, the same order of results."""

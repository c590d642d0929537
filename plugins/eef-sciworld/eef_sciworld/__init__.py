"""ScienceWorld for eef-framework: the real simulator, its own Java included, and experts for it."""

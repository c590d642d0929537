"""ScienceWorld for eef-framework: the real simulator, and experts for it."""

"""An arithmetic game for eef-framework, with an expert for it, and an attribution strategy."""

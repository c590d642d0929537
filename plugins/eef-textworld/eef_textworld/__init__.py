"""TextWorld for eef-framework: generated games, TextWorld's challenges, and experts for them."""

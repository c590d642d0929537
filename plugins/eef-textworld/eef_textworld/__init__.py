"""TextWorld for eef-framework: see the README."""

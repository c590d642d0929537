"""From episodes to numbers with their uncertainty: rates, intervals, paired comparisons, tables."""

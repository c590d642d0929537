"""Attribution strategies for eef-framework: which of an expert's actions helped?."""

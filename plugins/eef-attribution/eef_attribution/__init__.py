"""Attribution strategies: which of an expert's actions helped?"""

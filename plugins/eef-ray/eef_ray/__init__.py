"""Episodes on the workers of a Ray cluster: the executor `ray`."""

"""Policy that answers from vLLM servers."""

"""llmgate: the gateway in front of self-hosted LLM servers."""

__version__ = "0.1.0"

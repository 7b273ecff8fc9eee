"""Who asks: passwords, sessions, API keys, registration, whitelisted addresses."""

"""What one principal may use: requests and tokens per minute, requests at once, tokens per day and month."""

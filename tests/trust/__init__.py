"""What llmgate promises, shown under faults: see docs/reliability.md."""

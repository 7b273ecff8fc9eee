"""What is kept: one module per noun, each with its table, its row and functions that take the transaction first."""

"""`python -m llmgate`: the same as the `llmgate` command."""

from llmgate.cli.main import run

if __name__ == "__main__":
    run()

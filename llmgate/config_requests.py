"""The settings of what one request may ask of a server at most."""

from __future__ import annotations

from pydantic import Field, model_validator

from llmgate.config_queue import RUN_TIME, Section

MOST = 2**31 - 1


class RequestSettings(Section):
    max_output_tokens: int = Field(
        131_072,
        ge=1,
        le=MOST,
        description="Longest answer that may be asked for, in tokens: max_tokens and its like, num_predict. More, and "
        "-1 (no end), is lowered to it. Where none is asked for, the server's own bound holds.",
        json_schema_extra=RUN_TIME,
    )
    max_num_ctx: int = Field(
        131_072,
        ge=512,
        le=MOST,
        description="Largest context that may be asked of Ollama (options.num_ctx), in tokens; more is lowered to it. "
        "It takes graphics memory.",
        json_schema_extra=RUN_TIME,
    )
    keep_alive_min: float = Field(
        60,
        ge=0,
        le=86_400,
        description="Shortest keep_alive, in seconds; less is raised to it, so that nobody unloads what others use.",
        json_schema_extra=RUN_TIME,
    )
    keep_alive_max: float = Field(
        86_400,
        ge=0,
        le=31_536_000,
        description="Longest keep_alive, in seconds; more, and -1 (for ever), is lowered to it.",
        json_schema_extra=RUN_TIME,
    )
    max_answers: int = Field(
        16,
        ge=1,
        le=MOST,
        description="Answers that one request may ask for (n, best_of, prompts of /v1/completions); more gets 400.",
        json_schema_extra=RUN_TIME,
    )
    max_logprobs: int = Field(
        20,
        ge=0,
        le=MOST,
        description="Alternatives for each token (logprobs, top_logprobs and their like); more gets 400.",
        json_schema_extra=RUN_TIME,
    )
    max_inputs: int = Field(
        2048, ge=1, le=MOST, description="Texts that one request may embed; more gets 400.", json_schema_extra=RUN_TIME
    )
    max_images: int = Field(
        100,
        ge=0,
        le=MOST,
        description="Images and other files in one request, its history included; more gets 400. Their size is bounded "
        "by server.max_body_bytes.",
        json_schema_extra=RUN_TIME,
    )
    max_tools: int = Field(
        256, ge=0, le=MOST, description="Tools that one request may offer; more gets 400.", json_schema_extra=RUN_TIME
    )
    allow_template: bool = Field(
        False,
        description="Whether a request may bring a prompt template of its own, which is a program that the server "
        "runs; if not, it gets 400.",
        json_schema_extra=RUN_TIME,
    )
    allow_raw: bool = Field(
        True,
        description="Whether a request may do without the model's template (raw), as completion in editors does; if "
        "not, it gets 400.",
        json_schema_extra=RUN_TIME,
    )
    allow_server_options: bool = Field(
        False,
        description="Whether a request may say how the server works (num_gpu, num_thread, num_batch, use_mmap ...); if "
        "not, these are left out.",
        json_schema_extra=RUN_TIME,
    )
    allow_remote_urls: bool = Field(
        False,
        description="Whether a request may name images and other things by http(s) URL, which the server would fetch "
        "from inside your network; if not, it gets 400. This one holds for administrators as well.",
        json_schema_extra=RUN_TIME,
    )

    @model_validator(mode="after")
    def least_is_not_more_than_most(self) -> RequestSettings:
        if self.keep_alive_min > self.keep_alive_max:
            raise ValueError("keep_alive_min must not be more than keep_alive_max")
        return self

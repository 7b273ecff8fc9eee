"""Ollama's own API for clients of an upstream that speaks only OpenAI's (llama.cpp, vLLM, LM Studio).

``needed(call)``                  whether this call must be translated: it came in the Ollama protocol
``local_answer(call)``            the answer (JSON, one line) to a request that only loads or unloads a model, else None
``request(call)``                 where to post what: ``("/v1/chat/completions", body)``
``whole(call, answer, elapsed)``  a whole answer of status 200 as Ollama would give it, and its usage
``reader(call, clock)``           a StreamReader: server-sent events in, Ollama's JSON lines out
``error_text(status, body)``      the message inside an upstream's error answer, as one short line
``listing(entry)``                an entry of ``/v1/models`` as an entry of ``/api/tags``
``details(entry)``                an entry of ``/v1/models`` as the answer of ``/api/show``
"""

from llmgate.daemon.protocols.translate.answers import error_text, local_answer, whole
from llmgate.daemon.protocols.translate.models import details, listing
from llmgate.daemon.protocols.translate.requests import needed, request
from llmgate.daemon.protocols.translate.streams import reader

__all__ = ["details", "error_text", "listing", "local_answer", "needed", "reader", "request", "whole"]

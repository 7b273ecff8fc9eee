"""Models as ``/v1/models`` lists them, shown as ``/api/tags`` and ``/api/show`` do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from llmgate.daemon.protocols.fields import count_of
from llmgate.daemon.protocols.ollama import timestamp


def listing(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of ``/api/tags``. The digest is of the name: there is no other, and clients cut it short."""
    name = str(entry.get("id", ""))
    return {
        "name": name,
        "model": name,
        "modified_at": _modified_at(entry),
        "size": count_of(_meta(entry).get("size")) or 0,
        "digest": hashlib.sha256(name.encode("utf-8", "replace")).hexdigest(),
        "details": _details(entry),
    }


def details(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of ``/api/show``. Tools are named as a capability: whether the model's template takes
    them is not listed, and the upstream says so when it does not."""
    modalities = _mapping(entry.get("architecture")).get("input_modalities")
    capabilities = ["completion", "tools"]
    if isinstance(modalities, list) and "image" in modalities:
        capabilities.append("vision")
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(entry),
        "model_info": _model_info(entry),
        "capabilities": capabilities,
        "modified_at": _modified_at(entry),
    }


def _details(entry: Mapping[str, Any]) -> dict[str, Any]:
    meta = _meta(entry)
    quantization = meta.get("ftype")
    return {
        "parent_model": "",
        "format": "gguf" if entry.get("owned_by") == "llamacpp" else "",
        "family": "",
        "families": [],
        "parameter_size": _human(count_of(meta.get("n_params"))),
        "quantization_level": quantization if isinstance(quantization, str) else "",
    }


def _model_info(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Under the architecture "unknown", for clients look for any key that ends with ``.context_length``."""
    meta = _meta(entry)
    info = {
        "general.parameter_count": count_of(meta.get("n_params")),
        "unknown.context_length": count_of(meta.get("n_ctx")) or count_of(entry.get("max_model_len")),
        # How large it could be: a server that does not tell its window may have chosen a smaller one.
        "unknown.n_ctx_train": count_of(meta.get("n_ctx_train")),
        "unknown.embedding_length": count_of(meta.get("n_embd")),
    }
    known = {key: count for key, count in info.items() if count is not None}
    return {"general.architecture": "unknown"} | known


def _modified_at(entry: Mapping[str, Any]) -> str:
    created = count_of(entry.get("created")) or 0
    return timestamp(created if created < 2**33 else 0)


def _meta(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(entry.get("meta"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _human(count: int | None) -> str:
    """A number of parameters as Ollama shows it: 134.52M, 7.2B."""
    if not count:
        return ""
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.2f}M"

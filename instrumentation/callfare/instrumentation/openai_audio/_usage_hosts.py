"""Hosts with OpenAI's API that are known to take `stream_options.include_usage`.

A host belongs here if its own reference documents the option, or the client that its vendor maintains sends it. Hosts
that state usage unasked need no place. Mistral refuses the option (422); of Azure it depends on the API version.
"""

from typing import Final
from urllib.parse import urlsplit

__all__ = ["KNOWN_HOSTS", "takes_include_usage"]

KNOWN_HOSTS: Final = frozenset(
    {
        "api.openai.com",  # platform.openai.com/docs/api-reference/chat/create
        "eu.api.openai.com",
        "us.api.openai.com",
        "api.deepseek.com",  # api-docs.deepseek.com/api/create-chat-completion
        "api.groq.com",  # console.groq.com/docs/api-reference#chat-create
        "api.x.ai",  # docs.x.ai/docs/api-reference#chat-completions
    }
)
"""Checked 2026-11-30."""


def takes_include_usage(base_url: str) -> bool:
    """Whether the host of this address is known to take the option."""
    try:
        return (urlsplit(base_url).hostname or "") in KNOWN_HOSTS
    except ValueError:
        return False

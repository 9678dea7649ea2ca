"""Operation names: which spans report a provider call, and which only frame calls (rule 5).

A wrapper is never billed, whatever usage it repeats. An unknown operation is billed only if it has a quantity: then a
price can exist for it.
"""

from typing import Final

__all__ = ["WRAPPER", "operation_named"]

WRAPPER: Final = ""

_OPERATIONS: Final[dict[str, str]] = {
    "chat": "chat",
    "completion": "chat",  # LiteLLM
    "acompletion": "chat",
    "responses": "chat",  # LiteLLM, LangWatch
    "aresponses": "chat",
    "llm": "chat",  # Pipecat before 1.0
    "message": "chat",
    "realtime": "chat",
    "generate_live_content": "chat",  # draft semantic-conventions-genai#394
    "generate_content": "generate_content",
    "text_completion": "text_completion",
    "embeddings": "embeddings",
    "embedding": "embeddings",  # LiteLLM
    "aembedding": "embeddings",
    "rerank": "rerank",
    "arerank": "rerank",
    "moderation": "moderation",
    "amoderation": "moderation",
    "image": "image_generation",  # OpenLIT
    "image_generation": "image_generation",
    "aimage_generation": "image_generation",
    "text_to_speech": "text_to_speech",
    "tts": "text_to_speech",  # Pipecat
    "speech": "text_to_speech",
    "aspeech": "text_to_speech",
    "audio": "text_to_speech",  # OpenLIT uses it for speech only; transcription is `speech_to_text`
    "speech_to_text": "speech_to_text",
    "stt": "speech_to_text",  # Pipecat
    "transcription": "speech_to_text",  # LiteLLM
    "atranscription": "speech_to_text",
    "translation": "speech_to_text",
    "phone_call": "phone_call",
    "text_message": "text_message",  # ours; a bare `message` is Anthropic's word for a chat
    "retrieval": "retrieval",
    "invoke_agent": WRAPPER,
    "create_agent": WRAPPER,
    "invoke_workflow": WRAPPER,
    "execute_tool": WRAPPER,
    "execute_task": WRAPPER,
    "execute_event_loop_cycle": WRAPPER,  # Strands
    "agent_step": WRAPPER,  # Vercel AI 7
    "plan": WRAPPER,
    "agent": WRAPPER,
    "workflow": WRAPPER,
    "chain": WRAPPER,
    "framework": WRAPPER,  # OpenLIT
    "task": WRAPPER,
    "tool": WRAPPER,
    "handoff": WRAPPER,
    "turn": WRAPPER,
    "conversation": WRAPPER,
    "count_tokens": WRAPPER,  # free
    "search_memory": WRAPPER,
    "create_memory": WRAPPER,
    "update_memory": WRAPPER,
    "upsert_memory": WRAPPER,
    "delete_memory": WRAPPER,
}


def operation_named(stated: str, *, has_usage: bool) -> str:
    """Return the canonical operation, `WRAPPER` for what is no call; an unknown one counts if it has usage."""
    lowered = stated.strip().lower()
    known = _OPERATIONS.get(lowered)
    if known is not None:
        return known
    return lowered if has_usage else WRAPPER

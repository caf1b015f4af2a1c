"""The chat that most requests are: messages of a role and a text each, and beside them only control and numbers.

What `bound` and `parts` come to for it, in a quarter of the time. Whatever differs is left to them.
"""

from collections.abc import Mapping
from typing import Any

from metering.estimate.media import NAMES
from metering.estimate.parts import ELSEWHERE, ITEM_TOKENS, NOT_READ
from metering.estimate.text import most_tokens

_ROLE_AND_TEXT = frozenset(("role", "content"))
_NUMBERS = frozenset((int, float, bool, type(None)))
_NEEDS_A_LOOK = NAMES | ELSEWHERE
# More are no request that somebody waits for, and fewer are as much as `parts` looks into.
_MAX_MESSAGES = 10_000
# What the templates of models know; another one is counted as the text that it is.
_ROLE_TOKENS = {role: most_tokens(role) for role in ("system", "developer", "user", "assistant", "tool")}


def plain_chat_tokens(fields: Mapping[str, Any], message_tokens: int) -> int | None:
    """Of the messages, each framed by `message_tokens`; None: it is something else."""
    for name in fields.keys() - NOT_READ:
        if name != "messages" and (type(fields[name]) not in _NUMBERS or name in _NEEDS_A_LOOK):
            return None
    messages = fields.get("messages")
    if type(messages) is not list or not 0 < len(messages) <= _MAX_MESSAGES:
        return None
    tokens = (message_tokens + ITEM_TOKENS) * len(messages)
    for message in messages:
        if type(message) is not dict or message.keys() != _ROLE_AND_TEXT:
            return None
        role, text = message["role"], message["content"]
        if type(text) is not str or type(role) is not str:
            return None
        known = _ROLE_TOKENS.get(role)
        tokens += most_tokens(text) + (most_tokens(role) if known is None else known)
    return tokens

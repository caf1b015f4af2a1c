"""The wire formats: one module each, none of which touches a byte that passes.

format        what the meter has to know of any of them
openai_usage  OpenAI's `usage` in all the spellings that servers have given it
usual_answer  the same of a whole answer of the usual shape, in a fifth of the time
chat, completions, embeddings, responses, rerank, audio, images   OpenAI's routes, and what others made of them
messages      Anthropic's
ollama        Ollama's own, as JSON lines
"""

"""What servers of each kind and format write, byte for byte. Pure: a request and a plan in, bytes out.

job               what is to be generated, and how far it is after so many events
prompts           how many tokens the input has
refusals          which options a kind refuses, and the shape of its errors
asking            request -> job: what is honoured, ignored, refused
events            single events and lines
usages            how each kind writes down what was used
stream            the stages of a streamed answer, by position
choices           chat and legacy completions, as far as all agree
python_engines    … as vLLM, SGLang and TensorRT-LLM write them
compiled_engines  … as llama.cpp, Text Generation Inference and Ollama do
hosted            … as OpenAI, Azure, Mistral, DeepSeek, OpenRouter, Groq and Anthropic do
responses_api     OpenAI's Responses
messages          Anthropic's Messages, and who imitates them
ollama            Ollama's own formats
embeddings        embeddings and rerank
audio             transcriptions, translations, speech
images            images
counting          routes that only count tokens
reply             routes; which of the above answers, and for whom
"""

"""Embeddings and rerank: whole answers whose usage has no output."""

import orjson

from runtime.simulator.dialects import usages
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.choices import Json
from runtime.simulator.kinds import Kind

VECTOR = [0.25, -0.5, 0.125]
PACKED = "AACAPgAAAL8AAAA+"  # the same as little-endian floats in base64


class Embeddings(Answer):
    def body(self) -> bytes:
        given = self.job.raw.get("input")
        count = len(given) if isinstance(given, list) and not all(type(one) is int for one in given) else 1
        vector = PACKED if self.job.raw.get("encoding_format") == "base64" else VECTOR
        data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)]
        value: Json = {"object": "list", "data": data, "model": self.job.model}
        pretty = self.job.kind is Kind.OPENAI
        body = orjson.dumps(self.named(value) | self.usage(), option=orjson.OPT_INDENT_2 if pretty else None)
        return body + b"\n" if pretty else body

    def named(self, value: Json) -> Json:
        if self.job.kind is not Kind.VLLM:
            return value
        return {"id": f"embd-{self.job.answer_id}", "created": self.job.created} | value

    def usage(self) -> Json:
        if not self.job.orders.usage:
            return {}
        counts = self.job.counts()
        match self.job.kind:
            case Kind.VLLM:
                return {"usage": usages.total_second(counts) | {"prompt_tokens_details": None}}
            case Kind.SGLANG | Kind.MISTRAL:
                return {"usage": usages.total_second(counts)}
            case _:
                return {"usage": {"prompt_tokens": counts.prompt, "total_tokens": counts.prompt}}


class Rerank(Answer):
    def body(self) -> bytes:
        documents = self.job.raw["documents"]
        results = [
            {"index": index, "document": {"text": text}, "relevance_score": 1 / (1 + index)}
            for index, text in enumerate(documents)
        ]
        total = self.job.prompt_tokens
        value: Json = {"id": f"rerank-{self.job.answer_id}", "model": self.job.model}
        prompt = {} if self.job.kind is Kind.VLLM else {"prompt_tokens": total}
        usage = {"usage": prompt | {"total_tokens": total}} if self.job.orders.usage else {}
        return orjson.dumps(value | usage | {"results": results})

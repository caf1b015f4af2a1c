"""A Hugging Face tokenizer.json of the operator's, through the optional package `tokenizers`."""

import os


class TokenizerMissing(Exception):
    """A tokenizer that is configured cannot be had: why, in words for an operator."""


class HuggingFace:
    """Counts a text as text: no control token is added, none is recognised in it, nothing is cut off or filled up,
    whatever the file says.
    """

    def __init__(self, path: str) -> None:
        # its own threads would take the proxy's cores; one text at a time is what it gets
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise TokenizerMissing(f"{path}: needs `pip install farebox[huggingface]`") from None
        try:
            self._tokenizer = Tokenizer.from_file(path)
        except Exception as error:  # the library raises bare Exception for whatever is wrong with a file
            raise TokenizerMissing(f"{path}: is no tokenizer.json that can be read") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True

    def count(self, text: str) -> int:
        # it takes UTF-8, which has no half characters
        clean = text.encode("utf-8", "replace").decode()
        # of its ways to encode, those for many let go of the interpreter lock
        (found,) = self._tokenizer.encode_batch_fast([clean], add_special_tokens=False)
        return len(found.ids)

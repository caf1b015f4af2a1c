"""Counting what nobody reported.

vocabulary   OpenAI's vocabularies, shipped and checked -> tiktoken's encodings, without a network
huggingface  a tokenizer.json of the operator's
choice       which tokenizer counts for which model
slices       long texts in pieces
counter      off the loop, bounded: model, texts -> tokens
remote       how a server is asked to count, by its own way of being asked (pure)
data/        the vocabularies
"""

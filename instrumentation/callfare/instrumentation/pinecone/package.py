"""The tested versions of Pinecone's SDK."""

_instruments = ("pinecone >= 7, < 11",)

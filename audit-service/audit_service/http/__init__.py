"""The calls of docs/contracts.md: who may make them, and what they answer."""

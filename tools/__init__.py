"""What a developer runs: the demo, the checks. Nothing here is shipped."""

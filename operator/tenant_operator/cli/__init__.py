"""`cloister`, also `kubectl cloister`: what a person at a terminal asks and does, in the words of the API."""

"""The second copy: what the log holds, under Object Lock in the Region's bucket, and how a log is made again from it."""

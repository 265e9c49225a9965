"""The services a regulated installation would have around the cluster, one of each, for development."""

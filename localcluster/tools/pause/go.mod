module cloister.dev/localcluster/tools/pause

go 1.26.0

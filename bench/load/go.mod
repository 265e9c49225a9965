module cloister.dev/bench/load

go 1.26

// Vault's own entry point: its module's root is no importable package, so the two lines live here.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:]))
}

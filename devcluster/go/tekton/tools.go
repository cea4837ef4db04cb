//go:build tools

// Package tekton pins the registry's command. Nothing here is compiled: the import keeps the command's dependencies
// in go.mod and go.sum. The other commands of this module are its own.
package tekton

import (
	_ "github.com/google/go-containerregistry/cmd/registry"
)

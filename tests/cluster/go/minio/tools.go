//go:build tools

// Package tools pins what the testbed builds from this module.
package tools

import (
	_ "github.com/minio/minio"
)

// Package main is the component; the policy itself is in the folder policy.
package main

import _ "example.com/example-policy/bindings/exports/wit_exports"

func main() {}

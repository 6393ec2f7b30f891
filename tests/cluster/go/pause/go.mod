module runwright.dev/testbed/pause

go 1.26

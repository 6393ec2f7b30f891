// Command pause holds a pod's namespaces open: it reaps what is orphaned in the pod and ends at SIGINT or SIGTERM,
// as Kubernetes' own pause does (build/pause/linux/pause.c), of which no prebuilt image can be fetched everywhere.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}

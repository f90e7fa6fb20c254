// The service discovery of Prometheus for Kubernetes, unmodified: each group of targets that a role tells is one line of
// JSON, with its role. A group whose targets are gone has none.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// Every role that Prometheus has for Kubernetes.
var roles = []kubernetes.Role{
	kubernetes.RoleNode, kubernetes.RolePod, kubernetes.RoleService,
	kubernetes.RoleEndpoint, kubernetes.RoleEndpointSlice, kubernetes.RoleIngress,
}

type line struct {
	Role    string              `json:"role"`
	Source  string              `json:"source"`
	Labels  map[string]string   `json:"labels"`
	Targets []map[string]string `json:"targets"`
}

func main() {
	// The test ends this program; the limit is for when it cannot.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	lines := make(chan line)
	for _, role := range roles {
		config := &kubernetes.SDConfig{Role: role, KubeConfig: os.Args[1]}
		config.AttachMetadata.Node = role != kubernetes.RoleNode && role != kubernetes.RoleService && role != kubernetes.RoleIngress
		registry := prometheus.NewRegistry()
		metrics := config.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
		discoverer, err := config.NewDiscoverer(discovery.DiscovererOptions{Logger: log, Metrics: metrics})
		if err != nil {
			log.Error("no discoverer", "role", role, "error", err)
			os.Exit(1)
		}
		groups := make(chan []*targetgroup.Group)
		go discoverer.Run(ctx, groups)
		go func() {
			for some := range groups {
				for _, group := range some {
					lines <- told(role, group)
				}
			}
		}()
	}
	output := json.NewEncoder(os.Stdout)
	for {
		select {
		case one := <-lines:
			if err := output.Encode(one); err != nil {
				os.Exit(1)
			}
		case <-ctx.Done():
			return
		}
	}
}

func told(role kubernetes.Role, group *targetgroup.Group) line {
	one := line{Role: string(role), Source: group.Source, Labels: map[string]string{}, Targets: []map[string]string{}}
	for name, value := range group.Labels {
		one.Labels[string(name)] = string(value)
	}
	for _, target := range group.Targets {
		labels := map[string]string{}
		for name, value := range target {
			labels[string(name)] = string(value)
		}
		one.Targets = append(one.Targets, labels)
	}
	return one
}

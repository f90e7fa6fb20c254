package main

import (
	"encoding/json"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// podSecurity says whether a standard allows a pod; the error is what it forbids, in the words of a refusal.
func podSecurity(in json.RawMessage) (any, error) {
	var asked struct {
		Level   string     `json:"level"`
		Version string     `json:"version"`
		Pod     corev1.Pod `json:"pod"`
	}
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	level, err := api.ParseLevel(asked.Level)
	if err != nil {
		return nil, err
	}
	version, err := api.ParseVersion(asked.Version)
	if err != nil {
		return nil, err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, err
	}
	standard := api.LevelVersion{Level: level, Version: version}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(standard, &asked.Pod.ObjectMeta, &asked.Pod.Spec))
	if !result.Allowed {
		return nil, errors.New(result.ForbiddenDetail())
	}
	return "allowed", nil
}

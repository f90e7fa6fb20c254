package main

import (
	"encoding/json"
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// quantity answers how an amount is shown, its whole units, and its thousandths.
func quantity(in json.RawMessage) (any, error) {
	parsed, err := resource.ParseQuantity(text(in))
	if err != nil {
		return nil, err
	}
	return []any{parsed.String(), parsed.Value(), parsed.MilliValue()}, nil
}

// labelSelector answers which of some sets of labels match.
func labelSelector(in json.RawMessage) (any, error) {
	var asked struct {
		Text string              `json:"text"`
		Sets []map[string]string `json:"sets"`
	}
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	selector, err := labels.Parse(asked.Text)
	if err != nil {
		return nil, err
	}
	matched := []bool{}
	for _, set := range asked.Sets {
		matched = append(matched, selector.Matches(labels.Set(set)))
	}
	return matched, nil
}

// fieldSelector answers the terms.
func fieldSelector(in json.RawMessage) (any, error) {
	selector, err := fields.ParseSelector(text(in))
	if err != nil {
		return nil, err
	}
	terms := [][]string{}
	for _, one := range selector.Requirements() {
		terms = append(terms, []string{one.Field, string(one.Operator), one.Value})
	}
	return terms, nil
}

var rules = map[string]func(string) []string{
	"dns1123-label":     validation.IsDNS1123Label,
	"dns1123-subdomain": validation.IsDNS1123Subdomain,
	"dns1035-label":     validation.IsDNS1035Label,
	"path-segment":      path.IsValidPathSegmentName,
	"qualified-name":    validation.IsQualifiedName,
	"label-value":       validation.IsValidLabelValue,
	"env-var":           validation.IsRelaxedEnvVarName,
	"config-map-key":    validation.IsConfigMapKey,
	"port-name":         validation.IsValidPortName,
}

// name answers nothing for a name that a rule allows, and what the rule says of others.
func name(in json.RawMessage) (any, error) {
	var asked []string
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	if wrong := rules[asked[0]](asked[1]); len(wrong) > 0 {
		return nil, errors.New(strings.Join(wrong, "; "))
	}
	return "", nil
}

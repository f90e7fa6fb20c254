package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

// sequence is what several managers do to one object, one after another.
type sequence struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
	Steps   []struct {
		// An apply; else an update.
		Apply   bool            `json:"apply"`
		Force   bool            `json:"force"`
		Manager string          `json:"manager"`
		Object  json.RawMessage `json:"object"`
	} `json:"steps"`
}

var converter = applyconfigurations.NewTypeConverter(scheme.Scheme)

// undefaulted leaves objects as they are.
type undefaulted struct{}

func (undefaulted) Default(runtime.Object) {}

// stored is an object as it comes back from where it was stored.
func stored(live runtime.Object, kind schema.GroupVersionKind) runtime.Object {
	var wire bytes.Buffer
	if err := asProtobuf.Encode(live, &wire); err != nil {
		panic(err)
	}
	back, _, err := asProtobuf.Decode(wire.Bytes(), &kind, nil)
	if err != nil {
		panic(err)
	}
	back.GetObjectKind().SetGroupVersionKind(kind)
	return back
}

// apply answers the object after all steps, or the error of the first step that has one. Entries keep no times, but for
// whether they have any.
func apply(in json.RawMessage) (any, error) {
	var asked sequence
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	kind := schema.GroupVersionKind{Group: asked.Group, Version: asked.Version, Kind: asked.Kind}
	manager, err := managedfields.NewDefaultFieldManager(
		converter, scheme.Scheme, undefaulted{}, scheme.Scheme, kind, kind.GroupVersion(), "", nil)
	if err != nil {
		panic(err)
	}
	live, err := scheme.Scheme.New(kind)
	if err != nil {
		panic(err)
	}
	live.GetObjectKind().SetGroupVersionKind(kind)
	for _, step := range asked.Steps {
		if step.Apply {
			config := &unstructured.Unstructured{Object: map[string]interface{}{}}
			// As sigs.k8s.io/yaml reads it: all numbers are floats.
			if err := json.Unmarshal(step.Object, &config.Object); err != nil {
				return nil, fmt.Errorf("error decoding YAML: %v", err)
			}
			live, err = manager.Apply(live, config, step.Manager, step.Force)
		} else {
			next, failure := scheme.Scheme.New(kind)
			if failure != nil {
				panic(failure)
			}
			if err := json.Unmarshal(step.Object, next); err != nil {
				return nil, err
			}
			next.GetObjectKind().SetGroupVersionKind(kind)
			live, err = manager.Update(live, next, step.Manager)
		}
		if err != nil {
			return nil, err
		}
		accessor, failure := meta.Accessor(live)
		if failure != nil {
			panic(failure)
		}
		accessor.SetUID(types.UID("u"))
		live.GetObjectKind().SetGroupVersionKind(kind)
		live = stored(live, kind)
	}
	return live, nil
}

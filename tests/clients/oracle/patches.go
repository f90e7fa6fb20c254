package main

import (
	"encoding/json"

	"gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
)

// patched is a document, a patch of it and, for strategic patches, the document's kind.
type patched struct {
	Group   string          `json:"group"`
	Version string          `json:"version"`
	Kind    string          `json:"kind"`
	Doc     json.RawMessage `json:"doc"`
	Patch   json.RawMessage `json:"patch"`
}

func readPatched(in json.RawMessage) patched {
	var asked patched
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	return asked
}

func init() {
	// As kube-apiserver sets it.
	jsonpatch.AccumulatedCopySizeLimit = 3 * 1024 * 1024
}

// jsonPatch answers a document after a JSON patch.
func jsonPatch(in json.RawMessage) (any, error) {
	asked := readPatched(in)
	patch, err := jsonpatch.DecodePatch(asked.Patch)
	if err != nil {
		return nil, err
	}
	out, err := patch.Apply(asked.Doc)
	return json.RawMessage(out), err
}

// mergePatch answers a document after a merge patch.
func mergePatch(in json.RawMessage) (any, error) {
	asked := readPatched(in)
	out, err := jsonpatch.MergePatch(asked.Doc, asked.Patch)
	return json.RawMessage(out), err
}

// strategicPatch answers a document after a strategic merge patch.
func strategicPatch(in json.RawMessage) (any, error) {
	asked := readPatched(in)
	of, err := scheme.Scheme.New(schema.GroupVersionKind{Group: asked.Group, Version: asked.Version, Kind: asked.Kind})
	if err != nil {
		panic(err)
	}
	out, err := strategicpatch.StrategicMergePatch(asked.Doc, asked.Patch, of)
	return json.RawMessage(out), err
}

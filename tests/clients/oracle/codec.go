package main

import (
	"bytes"
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// object is a kind and an object of it: JSON, or protobuf in its envelope.
type object struct {
	Group   string          `json:"group"`
	Version string          `json:"version"`
	Kind    string          `json:"kind"`
	Body    json.RawMessage `json:"body"`
	Wire    []byte          `json:"wire"`
}

var (
	asJSON     = jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, jsonserializer.SerializerOptions{})
	asProtobuf = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
)

func decode(in json.RawMessage, decoder runtime.Decoder, data func(object) []byte) (runtime.Object, error) {
	var asked object
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	kind := schema.GroupVersionKind{Group: asked.Group, Version: asked.Version, Kind: asked.Kind}
	decoded, _, err := decoder.Decode(data(asked), &kind, nil)
	return decoded, err
}

func encode(object runtime.Object, encoder runtime.Encoder) ([]byte, error) {
	var out bytes.Buffer
	err := encoder.Encode(object, &out)
	return bytes.TrimSpace(out.Bytes()), err
}

// fromJSON answers what an object is once it was decoded.
func fromJSON(in json.RawMessage) (any, error) {
	decoded, err := decode(in, asJSON, func(asked object) []byte { return asked.Body })
	if err != nil {
		return nil, err
	}
	out, err := encode(decoded, asJSON)
	return json.RawMessage(out), err
}

// fromProtobuf answers the same of an object in protobuf.
func fromProtobuf(in json.RawMessage) (any, error) {
	decoded, err := decode(in, asProtobuf, func(asked object) []byte { return asked.Wire })
	if err != nil {
		return nil, err
	}
	out, err := encode(decoded, asJSON)
	return json.RawMessage(out), err
}

// toProtobuf answers an object of JSON in protobuf.
func toProtobuf(in json.RawMessage) (any, error) {
	decoded, err := decode(in, asJSON, func(asked object) []byte { return asked.Body })
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = asProtobuf.Encode(decoded, &out)
	return out.Bytes(), err
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"sort"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// structural answers a custom resource once it was pruned and defaulted by a definition's schema; the error is all that is
// wrong with it, a line each, in the order of the texts. Rules are run where nothing else is wrong.
func structural(in json.RawMessage) (any, error) {
	var asked struct {
		Schema apiextensionsv1.JSONSchemaProps `json:"schema"`
		Object json.RawMessage                 `json:"object"`
	}
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&asked.Schema, &props, nil); err != nil {
		panic(err)
	}
	schema, err := structuralschema.NewStructural(&props)
	if err != nil {
		panic(err)
	}
	if wrong := structuralschema.ValidateStructural(nil, schema); len(wrong) > 0 {
		panic(wrong.ToAggregate().Error())
	}
	if err := defaulting.PruneDefaults(schema); err != nil {
		panic(err)
	}
	var object map[string]interface{}
	if err := utiljson.Unmarshal(asked.Object, &object); err != nil {
		panic(err)
	}
	// As customresource_handler.go has them in turn.
	pruning.PruneWithOptions(object, schema, true, structuralschema.UnknownFieldPathOptions{})
	defaulting.PruneNonNullableNullsWithoutDefaults(object, schema)
	defaulting.Default(object, schema)
	validator, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		panic(err)
	}
	wrong := validation.ValidateCustomResource(nil, object, validator)
	wrong = append(wrong, listtype.ValidateListSetsAndMaps(nil, schema, object)...)
	if len(wrong) == 0 {
		rules := cel.NewValidator(schema, true, celconfig.PerCallLimit)
		wrong, _ = rules.Validate(context.Background(), nil, schema, object, nil, celconfig.RuntimeCELCostBudget)
	}
	if len(wrong) > 0 {
		return nil, errors.New(told(wrong))
	}
	return object, nil
}

// told are errors, a line each, in the order of their texts.
func told(wrong field.ErrorList) string {
	var lines []string
	for _, one := range wrong {
		lines = append(lines, one.Error())
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
